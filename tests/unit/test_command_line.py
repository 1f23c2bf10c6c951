"""Tests that an invalid command line gives an error that explains the problem."""

import pytest

from orchestration.cli.main import main


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rnu"], "argument COMMAND: invalid choice: 'rnu'"),
        (["botmaker"], "the following arguments are required: COMMAND"),
        (["--json", "--quiet", "export"], "--quiet, --json: only for a command that runs the job"),
        (["--reread", "botmaker", "fetch"], "--reread: only for a command that runs the job"),
    ],
)
def test_invalid_command_is_explained(capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert message in capsys.readouterr().err

"""Tests that an invalid command line gives an error that explains the problem."""

import pytest

from orchestration.cli.main import main


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rnu"], "argument COMMAND: invalid choice: 'rnu'"),
        (["botmaker"], "the following arguments are required: COMMAND"),
    ],
)
def test_invalid_command_is_explained(capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert message in capsys.readouterr().err

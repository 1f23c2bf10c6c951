"""A command line that makes no sense is told what is wrong with it."""

import pytest

from orchestration.cli.main import main


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["rnu"], "argument COMMAND: invalid choice: 'rnu'"),
        (["botmaker"], "the following arguments are required: COMMAND"),
    ],
)
def test_a_wrong_command_is_told(capsys: pytest.CaptureFixture[str], arguments: list[str], told: str) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert told in capsys.readouterr().err

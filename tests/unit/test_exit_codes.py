"""Tests of the exit codes that scripts rely on: the table of docs/operations.md. For whole runs see runs/test_failure.py."""

import re
import sys
from contextlib import suppress
from pathlib import Path
from types import ModuleType

import pytest
from dagster import DagsterExecutionInterruptedError, OpDefinition, RetryPolicy, job, op
from filelock import FileLock

from orchestration.__main__ import start
from orchestration.cli.main import main
from orchestration.cli.run import _console
from orchestration.cli.terminal import Terminal
from orchestration.defs.run_log import RunLog
from orchestration.errors import ExitCode
from orchestration.settings import PROJECT_ROOT, Settings
from orchestration.warehouse import open_warehouse


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STARTS_LANDING", str(tmp_path / "landing"))
    monkeypatch.setenv("STARTS_DATA", str(tmp_path / "data"))
    (tmp_path / "landing" / "sends").mkdir(parents=True)
    return tmp_path / "data"


def test_operations_page_lists_every_exit_code() -> None:
    page = (PROJECT_ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    shown = dict(re.findall(r"(?m)^\| (\d+) \| ([a-z ]+)", page))
    names = {str(int(code)): code.name.lower().replace("_", " ") for code in ExitCode}
    assert {code: name.strip().startswith(names[code]) for code, name in shown.items()} == dict.fromkeys(names, True)


def test_unlistable_landing_zone_has_its_own_exit_code(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (data.parent / "landing" / "webhooks").write_text("a file, not a folder")
    assert main(["--quiet"]) == ExitCode.LANDING_FAILED
    assert "a file, not a folder" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["rebuild"], ["replay"], ["erase", "5511987650001"]])
def test_command_during_another_run_exits_as_locked(data: Path, command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    settings = Settings.from_environment()
    data.mkdir()
    with open_warehouse(settings):
        pass
    with FileLock(settings.lock_path):
        assert main(command) == ExitCode.LOCKED
    assert f"{command[0]} could not start: Another run is writing" in capsys.readouterr().err


@pytest.mark.parametrize("command", [[], ["run"], ["export"], ["compare", "nowhere.tsv"], ["rejected"], ["docs"], ["botmaker", "fetch"]])
def test_invalid_setting_exits_as_could_not_start(
    data: Path, monkeypatch: pytest.MonkeyPatch, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STARTS_LANGUAGE", "xx")
    assert main(command) == ExitCode.COULD_NOT_START
    name = "botmaker fetch" if command[:1] == ["botmaker"] else "conversation_starts" if command in ([], ["run"]) else command[0]
    assert capsys.readouterr().err.startswith(f"{name} could not start: STARTS_LANGUAGE is 'xx'")
    assert not data.exists()


@pytest.mark.parametrize("command", [[], ["export"], ["compare", "nowhere.tsv"], ["rejected"], ["erase", "5511987650001"], ["rebuild"]])
def test_ctrl_c_ends_every_command_with_a_message(
    data: Path, monkeypatch: pytest.MonkeyPatch, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Settings, "from_environment", interrupt)
    assert main(command) == ExitCode.INTERRUPTED
    assert f"{command[0] if command else 'conversation_starts'} was interrupted." in capsys.readouterr().err


def test_ctrl_c_while_the_command_line_loads_shows_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    class Loading(ModuleType):
        def __getattr__(self, name: str) -> None:
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "orchestration.cli.main", Loading("orchestration.cli.main"))
    assert start() == ExitCode.INTERRUPTED


def test_argparse_errors_exit_as_could_not_start() -> None:
    with pytest.raises(SystemExit) as end:
        main(["export", "--nonsense"])
    assert end.value.code == ExitCode.COULD_NOT_START


@pytest.mark.parametrize("verbose", [False, True])
@pytest.mark.parametrize("name", ["land_sends", "raw__landed_files"])
def test_terminated_step_counts_as_an_interruption(name: str, verbose: bool) -> None:
    @op(name=name)
    def ended() -> None:
        raise DagsterExecutionInterruptedError

    assert _run_with(ended, verbose=verbose).is_interrupted


@pytest.mark.parametrize("verbose", [False, True])
def test_terminated_step_is_not_retried(verbose: bool) -> None:
    tries = []

    @op(retry_policy=RetryPolicy(max_retries=2))
    def ended() -> None:
        tries.append(1)
        try:
            raise DagsterExecutionInterruptedError
        except DagsterExecutionInterruptedError as error:
            raise RuntimeError("what was at work has stopped") from error

    assert _run_with(ended, verbose=verbose).is_interrupted
    assert len(tries) == 1


def _run_with(step: OpDefinition, *, verbose: bool) -> RunLog:
    """Run a job with one step, and return the log that was collected."""
    log = RunLog(Terminal(quiet=True))

    @job(logger_defs={"console": _console(log, verbose=verbose)})
    def run() -> None:
        step()

    with suppress(KeyboardInterrupt):
        run.execute_in_process(raise_on_error=False, run_config={"loggers": {"console": {}}})
    return log

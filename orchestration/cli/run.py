"""`python -m orchestration [run]`: run the job once, in this process; `make run` and a plain cron line call it.

Steps, warnings and errors go to stderr, the result of the run to stdout.
"""

import json
import logging
import os
import sys
import time
from argparse import SUPPRESS, ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from orchestration.alerts import send_alert_if_set
from orchestration.cli.terminal import Terminal
from orchestration.errors import ExitCode, StartsError, exit_code_at_start, operator_errors
from orchestration.installation import BASE_FOLDER
from orchestration.landing.feeds import FEED_NAMES
from orchestration.landing.zone import LandingZone
from orchestration.progress import progress_display
from orchestration.run_report import ThisRun, Totals, as_json, count_totals
from orchestration.settings import PostgresSettings, Settings, dagster_home_set, publishes_to_postgres
from orchestration.warehouse import prepare_data_folder

if TYPE_CHECKING:
    from dagster import ExecuteInProcessResult, LoggerDefinition


JOB = "conversation_starts"


def add_options(parser: ArgumentParser, *, default: object = SUPPRESS) -> None:
    """Add the options of a run. With the default `SUPPRESS`, an option not passed after the command keeps its value from before it."""
    parser.add_argument(
        "--reread", action="store_true", default=default,
        help="look into every file of the landing zone again, even if it seems unchanged",
    )  # fmt: skip
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--quiet", action="store_true", default=default, help="print errors only")
    shown.add_argument("--verbose", action="store_true", default=default, help="print Dagster's log instead of one line per step")
    parser.add_argument("--json", action="store_true", default=default, help="print what the run did as one JSON object, on stdout")


def given_options(chosen: Namespace) -> list[str]:
    """Return the options of a run that a command line contains."""
    return [f"--{name}" for name in ("reread", "quiet", "verbose", "json") if getattr(chosen, name)]


def run_command(chosen: Namespace) -> int:
    """Run `conversation_starts` once and print the result; post a failure also to STARTS_ALERT_URL."""
    try:
        return _run_once(chosen)
    except Exception as error:
        # Python prints the error; its text may contain anything, so it is not posted.
        alert("conversation_starts failed", [f"{type(error).__name__}: see the run's log."])
        raise


def alert(what: str, reasons: list[str]) -> None:
    """Post to STARTS_ALERT_URL if it is set, with no other effect."""
    send_alert_if_set(what, reasons, log=lambda line: print(line, file=sys.stderr))


@dataclass
class _Run:
    """A run in progress, and the options for its output."""

    chosen: Namespace
    started: float = field(default_factory=time.monotonic)
    this_run: ThisRun = field(default_factory=ThisRun)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def end(self, status: str, exit_code: ExitCode, reasons: Sequence[str] = (), totals: Totals | None = None) -> int:
        if self.chosen.json:
            print(json.dumps(as_json(status, self.seconds, list(reasons), self.this_run, totals)))
        return exit_code


def _run_once(chosen: Namespace) -> int:
    run = _Run(chosen)
    try:
        settings = Settings.from_environment()
        if publishes_to_postgres():
            PostgresSettings.from_environment()
        dagster_home_set()
        prepare_data_folder(settings)
        LandingZone(settings.landing, FEED_NAMES)
    except StartsError as error:
        print(f"conversation_starts could not start: {error}", file=sys.stderr)
        alert("conversation_starts could not start", [str(error)])
        return run.end("could_not_start", exit_code_at_start(error), [str(error)])
    try:
        with operator_errors(), _with_reread(chosen.reread):
            result = _run_job(settings, run)
    except StartsError as error:
        print(f"\nconversation_starts failed: {error}", file=sys.stderr)
        alert("conversation_starts failed", [str(error)])
        return run.end("failed", error.exit_code or ExitCode.FAILED, [str(error)])
    except KeyboardInterrupt:
        print("\nconversation_starts was interrupted. The next run continues from what was committed.", file=sys.stderr)
        return run.end("interrupted", ExitCode.INTERRUPTED)
    if not result.success:
        from orchestration.defs.failures import exit_code_for_failure, reasons_for_failure, unexpected_tracebacks

        for traceback in unexpected_tracebacks(result.all_events):
            print(f"\n{traceback}", file=sys.stderr)
        reasons = reasons_for_failure(result.all_events)
        print("\nconversation_starts failed: " + "\n".join(reasons or ["see the log above"]), file=sys.stderr)
        alert(f"conversation_starts failed (run {result.run_id})", reasons)
        return run.end("failed", exit_code_for_failure(result.all_events), reasons)
    return _finish(settings, run)


def _finish(settings: Settings, run: _Run) -> int:
    totals = why_not = None
    try:
        totals = count_totals(settings)
    except StartsError as error:
        # The next run may have started. This run is complete all the same.
        why_not = f"no summary: {error}"
    if not run.chosen.quiet and not run.chosen.json:
        print(f"\nconversation_starts finished in {run.seconds:.0f} s")
        for line in (*run.this_run.lines(), *(totals.lines() if totals is not None else [why_not])):
            print(f"  {line}")
    return run.end("finished", ExitCode.SUCCESS, [], totals)


def _run_job(settings: Settings, run: _Run) -> "ExecuteInProcessResult":
    # Imported late: Dagster takes seconds to load, and a wrong setting should be reported at once.
    terminal = Terminal(quiet=run.chosen.quiet or run.chosen.verbose)
    terminal.start("start")
    try:
        from orchestration.definitions import defs
        from orchestration.defs.home import open_instance
        from orchestration.defs.run_log import RunLog

        log = RunLog(terminal)
        run.this_run = log.this_run
        job = defs.resolve_job_def("conversation_starts").with_logger_defs({"console": _console(log, verbose=run.chosen.verbose)})
        # The folders in the project's dagster.yaml are relative.
        with chdir(BASE_FOLDER), open_instance(settings) as instance, progress_display(terminal.show):
            result = job.execute_in_process(instance=instance, raise_on_error=False, run_config={"loggers": {"console": {}}})
        if log.is_interrupted:
            raise KeyboardInterrupt
        return result
    finally:
        terminal.close()


@contextmanager
def _with_reread(enabled: bool) -> Iterator[None]:
    """Set STARTS_REREAD for a `with` block: in Dagster, settings come only from the environment."""
    before = os.environ.copy()
    if enabled:
        os.environ["STARTS_REREAD"] = "yes"
    try:
        yield
    finally:
        if enabled:
            del os.environ["STARTS_REREAD"]
            os.environ.update(before)


def _console(log: logging.Handler, *, verbose: bool) -> "LoggerDefinition":
    """Return the logger of Dagster's log of the run: our own handler and, with `verbose`, also Dagster's console.

    The console omits stack traces: failures are reported once after the run, as sentences.
    """
    from dagster import InitLoggerContext, LoggerDefinition, colored_console_logger

    def made(context: InitLoggerContext) -> logging.Logger:
        # Most events have this level, including a step that will be retried.
        logger = logging.Logger("conversation_starts", logging.DEBUG)
        logger.addHandler(log)
        if verbose:
            console = colored_console_logger.logger_fn(context)
            for handler in console.handlers:
                handler.addFilter(lambda record: console.level <= record.levelno < logging.ERROR)
                logger.addHandler(handler)
        return logger

    return LoggerDefinition(made, config_schema=colored_console_logger.config_schema)

"""`python -m orchestration [run]`: the job once, in this process; what `make run` and a plain cron line call.

Exit codes: 0 when all went well, 1 when the job failed, 2 when it could not start.
"""

import logging
import os
import sys
import time
import warnings
from argparse import Namespace
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from orchestration.alerts import send_alert_if_set
from orchestration.errors import StartsError, operator_errors
from orchestration.installation import BASE_FOLDER
from orchestration.landing import ledger
from orchestration.landing.feeds import FEED_NAMES
from orchestration.landing.zone import LandingZone
from orchestration.settings import PostgresSettings, Settings, publishes_to_postgres
from orchestration.transform.freshness import silences
from orchestration.warehouse import open_warehouse, prepare_data_folder

if TYPE_CHECKING:
    from dagster import ExecuteInProcessResult, LoggerDefinition


def run_command(chosen: Namespace) -> int:
    """Run `conversation_starts` once and say what came of it, in case of a failure also to STARTS_ALERT_URL."""
    try:
        return _run_once(chosen)
    except Exception as error:
        # Python shows it; its text may hold anything.
        alert("conversation_starts failed", [f"{type(error).__name__}: see the run's log."])
        raise


def alert(what: str, reasons: list[str]) -> None:
    """Post to STARTS_ALERT_URL, if it is set, and change nothing else."""
    send_alert_if_set(what, reasons, log=lambda line: print(line, file=sys.stderr))


def _run_once(chosen: Namespace) -> int:
    started = time.monotonic()
    try:
        settings = Settings.from_environment()
        if publishes_to_postgres():
            PostgresSettings.from_environment()
        prepare_data_folder(settings)
        LandingZone(settings.landing, FEED_NAMES)
    except StartsError as error:
        print(f"conversation_starts could not start: {error}", file=sys.stderr)
        alert("conversation_starts could not start", [str(error)])
        return 2
    try:
        with operator_errors(), _rereading(chosen.reread):
            result = _run_job(settings)
    except StartsError as error:
        print(f"\nconversation_starts failed: {error}", file=sys.stderr)
        alert("conversation_starts failed", [str(error)])
        return 1
    if not result.success:
        from orchestration.defs.failures import reasons_for_failure, tracebacks_of_surprises

        for traceback in tracebacks_of_surprises(result.all_events):
            print(f"\n{traceback}", file=sys.stderr)
        reasons = reasons_for_failure(result.all_events)
        print("\nconversation_starts failed: " + "\n".join(reasons or ["see the log above"]), file=sys.stderr)
        alert(f"conversation_starts failed (run {result.run_id})", reasons)
        return 1
    print(f"\nconversation_starts finished in {time.monotonic() - started:.0f} s")
    try:
        for line in _summary(settings):
            print(f"  {line}")
    except StartsError as error:
        # The next run may have begun: what this one did is done.
        print(f"  no summary: {error}")
    return 0


def _run_job(settings: Settings) -> "ExecuteInProcessResult":
    # Imported late: Dagster takes seconds to load, and a wrong setting should be told at once.
    from dagster import BetaWarning

    warnings.simplefilter("ignore", BetaWarning)
    from orchestration.definitions import defs
    from orchestration.defs.home import open_instance

    job = defs.resolve_job_def("conversation_starts").with_logger_defs({"console": _console_without_errors()})
    # The folders in the project's own dagster.yaml are relative.
    with chdir(BASE_FOLDER), open_instance(settings) as instance:
        return job.execute_in_process(instance=instance, raise_on_error=False, run_config={"loggers": {"console": {}}})


@contextmanager
def _rereading(is_asked: bool) -> Iterator[None]:
    """Set STARTS_REREAD for the time of a `with` block: in Dagster, settings come from the environment alone."""
    before = os.environ.copy()
    if is_asked:
        os.environ["STARTS_REREAD"] = "yes"
    try:
        yield
    finally:
        if is_asked:
            del os.environ["STARTS_REREAD"]
            os.environ.update(before)


def _console_without_errors() -> "LoggerDefinition":
    """Return Dagster's console without its stack traces: what failed is told after the run, once and in words."""
    from dagster import InitLoggerContext, LoggerDefinition, colored_console_logger

    def made(context: InitLoggerContext) -> logging.Logger:
        console = colored_console_logger.logger_fn(context)
        console.addFilter(lambda record: record.levelno < logging.ERROR)
        return console

    return LoggerDefinition(made, config_schema=colored_console_logger.config_schema)


def _summary(settings: Settings) -> Iterator[str]:
    with open_warehouse(settings) as warehouse:
        files = warehouse.execute(
            """
            select
                feed,
                count(*) filter (status = 'landed') as files_landed,
                count(*) filter (status = 'set_aside') as files_set_aside,
                sum(records)::bigint as records,
                sum(rejected)::bigint as rejected,
                sum(erased)::bigint as erased
            from raw.landed_files
            group by feed
            order by feed
            """
        ).fetchall()
        for feed, landed, set_aside, records, rejected, erased in files:
            yield (
                f"landed     {feed}: {records:,} records in {landed:,} files; {rejected:,} records rejected, {set_aside} files set aside"
                + (f", {erased:,} records of erased people" if erased else "")
            )
        passed_over = ledger.all_passed_over(warehouse)
        if passed_over:
            names = ", ".join(passed.name for passed in passed_over[:5]) + (", …" if len(passed_over) > 5 else "")
            yield f"not read   {len(passed_over)} in the landing zone: {names}"
        row = warehouse.execute(
            """
            select
                count(*), count(distinct person_id),
                count(*) filter (is_not_sent), count(*) filter (last_status = 'pending'), count(*) filter (is_sent),
                count(*) filter (message_id is null),
                count(*) filter (is_delivered), count(*) filter (is_read), count(*) filter (is_replied)
            from marts.fct_session_starts where is_in_report
            """
        ).fetchone()
        assert row is not None
        # The first four add up to the starts.
        yield "report     {:,} starts by {:,} users: {:,} not sent, {:,} pending, {:,} sent, {:,} without a send".format(*row[:6])
        yield "report     of those sent: {:,} delivered, {:,} read, {:,} replied".format(*row[6:])
        for silence in silences(warehouse, datetime.now(UTC).replace(tzinfo=None)):
            yield f"silent     {silence}"
    yield f"published  {settings.published_database}"
    if publishes_to_postgres():
        postgres = PostgresSettings.from_environment()
        yield f"published  PostgreSQL at {postgres.place}, schema {postgres.schema}"
    yield f"exported   {len(list(settings.exports_dir.glob('*.tsv')))} daily TSVs in {settings.exports_dir}"

"""Delete old runs: Dagster keeps all of them, 2 MB each, and an hourly job would fill 17 GB a year."""

from datetime import datetime, timedelta
from pathlib import Path

from dagster import DagsterInstance, DagsterRunStatus, RunsFilter
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._core.storage.runs.schema import RunTagsTable
from dagster._core.storage.runs.sql_run_storage import SqlRunStorage

# A run in which nothing landed and nothing was built. Its events are of little use, so they are deleted after the next such run.
_TAG = "conversation_starts/nothing_new"
NOTHING_NEW = {_TAG: "yes"}
_EVENTS_DELETED = {_TAG: "yes, so its events are deleted"}

# Deleting one takes 0.05 s; a home that has grown for years is cleaned up over many runs.
_MAX_RUNS_AT_ONCE = 20

_FINISHED = [DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED]
# A killed run never gets a final status without Dagster's daemon. No run works, or waits in the queue, for a week.
_UNFINISHED = [status for status in DagsterRunStatus if status not in _FINISHED]
_MAX_DAYS_OF_A_RUN = 7


def delete_old_runs(instance: DagsterInstance, job_name: str, keep_days: int, now: datetime) -> None:
    """Delete a job's runs that are older than `keep_days`, and the events of its runs without new data, except those of the newest one.

    Only runs of the job are deleted: an operator's own instance may contain runs of other projects.
    """
    for statuses, days in ((_FINISHED, keep_days), (_UNFINISHED, max(keep_days, _MAX_DAYS_OF_A_RUN))):
        old = RunsFilter(job_name=job_name, statuses=statuses, created_before=now - timedelta(days=days))
        for run_id in instance.get_run_ids(old, limit=_MAX_RUNS_AT_ONCE):
            _delete_events(instance, run_id)
            _delete_run(instance, run_id)
    nothing_new = RunsFilter(job_name=job_name, statuses=[DagsterRunStatus.SUCCESS], tags=NOTHING_NEW)
    for run_id in instance.get_run_ids(nothing_new, limit=_MAX_RUNS_AT_ONCE + 1)[1:]:
        _delete_events(instance, run_id)
        instance.add_run_tags(run_id, _EVENTS_DELETED)


def _delete_events(instance: DagsterInstance, run_id: str) -> None:
    """Delete a run's events, its logs, and the evaluations of its checks, which Dagster's own deletion leaves."""
    events = instance.event_log_storage
    if isinstance(events, SqliteEventLogStorage):
        # Each run has its own database, which Dagster would only empty.
        with events.index_connection() as connection:
            events.delete_events_for_run(connection, run_id)
        for suffix in ("", "-wal", "-shm"):
            Path(events.path_for_shard(run_id) + suffix).unlink(missing_ok=True)
    else:
        events.delete_events(run_id)
    if isinstance(events, SqlEventLogStorage):
        with events.index_connection() as connection:
            connection.execute(AssetCheckExecutionsTable.delete().where(AssetCheckExecutionsTable.c.run_id == run_id))
    instance.compute_log_manager.delete_logs(prefix=[run_id])


def _delete_run(instance: DagsterInstance, run_id: str) -> None:
    """Delete a run itself, and its tags, which Dagster's own deletion leaves."""
    runs = instance.run_storage
    runs.delete_run(run_id)
    if isinstance(runs, SqlRunStorage):
        with runs.connect() as connection:
            connection.execute(RunTagsTable.delete().where(RunTagsTable.c.run_id == run_id))

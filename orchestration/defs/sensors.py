"""Sensors: one starts a run for new files, one posts failed runs to a chat."""

import hashlib

from dagster import (
    DagsterRunStatus,
    DefaultSensorStatus,
    RunFailureSensorContext,
    RunRequest,
    RunsFilter,
    SensorEvaluationContext,
    SkipReason,
    run_failure_sensor,
    sensor,
)

from orchestration.alerts import alert_address, failure_alert, send_alert
from orchestration.defs.failures import reasons_for_failure
from orchestration.defs.jobs import conversation_starts
from orchestration.errors import StartsError
from orchestration.landing.feeds import FEED_NAMES
from orchestration.landing.zone import LandingZone
from orchestration.settings import Settings

_UNFINISHED = [DagsterRunStatus.QUEUED, DagsterRunStatus.NOT_STARTED, DagsterRunStatus.STARTING, DagsterRunStatus.STARTED]


@sensor(job=conversation_starts, minimum_interval_seconds=60, default_status=DefaultSensorStatus.STOPPED)
def new_files(context: SensorEvaluationContext) -> RunRequest | SkipReason:
    """Start a run when the files in the landing zone (a folder or an object store) have changed since the last check."""
    try:
        seen = listing_fingerprint(Settings.from_environment())
    except StartsError as error:
        return SkipReason(str(error))
    if seen == context.cursor:
        return SkipReason("The files in the landing zone have not changed.")
    if context.instance.get_runs_count(RunsFilter(job_name=conversation_starts.name, statuses=_UNFINISHED)):
        # The cursor stays, so the sensor sees the files again after that run, which may have listed the zone before they arrived.
        return SkipReason("A run is in progress.")
    context.update_cursor(seen)
    # No run key: Dagster starts only one run per key, and a zone may return to an earlier state.
    return RunRequest()


def listing_fingerprint(settings: Settings) -> str:
    """Return a hash of the names and versions of all files in the landing zone. Raises `StartsError` if it cannot be listed."""
    zone = LandingZone(settings.landing, FEED_NAMES)
    digest = hashlib.sha256()
    for feed in FEED_NAMES:
        for file in zone.files(feed):
            digest.update(f"{file.name}\0{file.version}\n".encode())
    return digest.hexdigest()


@run_failure_sensor(default_status=DefaultSensorStatus.STOPPED)
def notify_on_run_failure(context: RunFailureSensorContext) -> None:
    """Post every failed run to STARTS_ALERT_URL: a chat's incoming webhook, or any endpoint that accepts JSON."""
    address = alert_address()
    if address is None:
        context.log.warning("STARTS_ALERT_URL is not set, so no notification is sent.")
        return
    run = context.dagster_run
    events = [entry.dagster_event for entry in context.instance.all_logs(run.run_id) if entry.dagster_event is not None]
    send_alert(address, failure_alert(f"{run.job_name} failed (run {run.run_id})", reasons_for_failure(events)), log=context.log.error)

"""The display of a run on the command line: Dagster's log as steps on a terminal, and what the run did."""

import logging
from collections.abc import Mapping
from typing import Any, Protocol

from dagster import AssetKey, DagsterEvent, DagsterEventType
from dagster._core.log_manager import get_log_record_metadata, has_log_record_metadata
from dagster_shared.error import SerializableErrorInfo

from orchestration.landing.feeds import FEEDS
from orchestration.run_report import Landed, ThisRun

# The displayed names of steps. All others are too short for a line of their own.
_STEPS = {
    "land_sends": "land",
    "land_webhooks": "land",
    "land_botmaker": "land",
    "build_models": "build",
    "published_marts": "publish",
    "postgres_marts": "postgres",
    "session_starts_tsv": "export",
}
_INTERRUPTS = ("KeyboardInterrupt", "DagsterExecutionInterruptedError")
_NOTHING_NEW = {f"land_{feeds}": f"{feeds}: no new files" for feeds in ("sends", "webhooks", "botmaker")}
# All tables of a feed report the same counts, so the first one is enough.
_FEEDS = {AssetKey(["raw", feed.tables[0]]): feed.name for feed in FEEDS}


class Steps(Protocol):
    """The display of the steps, such as a terminal."""

    def start(self, step: str) -> None: ...
    def finish(self, text: str = "", *, failed: bool = False) -> None: ...
    def warn(self, text: str) -> None: ...


class RunLog(logging.Handler):
    """Handle Dagster's log of a run: show its steps and warnings, and collect in `this_run` what its assets report."""

    def __init__(self, steps: Steps) -> None:
        super().__init__()
        self.this_run = ThisRun()
        self.is_interrupted = False
        self._steps = steps
        self._done: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if not has_log_record_metadata(record):
            return
        metadata = get_log_record_metadata(record)
        event = metadata["dagster_event"]
        if event is not None:
            self._follow(event)
        # Errors are shown once after the run, as sentences.
        elif record.levelno == logging.WARNING:
            self._steps.warn(metadata["orig_message"])

    def _follow(self, event: DagsterEvent) -> None:
        if event.event_type is DagsterEventType.ASSET_MATERIALIZATION:
            materialization = event.step_materialization_data.materialization
            metadata = {name: value.value for name, value in materialization.metadata.items()}
            self._done += self._collect(materialization.asset_key, metadata)
        if _is_interrupt(_error_of(event)):
            self._interrupt()
        if event.step_key not in _STEPS:
            return
        match event.event_type:
            case DagsterEventType.STEP_START | DagsterEventType.STEP_RESTARTED:
                self._done = []
                self._steps.start(_STEPS[event.step_key])
            case DagsterEventType.STEP_SUCCESS:
                self._steps.finish("; ".join(self._done) or _NOTHING_NEW.get(event.step_key, ""))
            case DagsterEventType.STEP_FAILURE:
                self._steps.finish("failed", failed=True)
            case DagsterEventType.STEP_UP_FOR_RETRY:
                self._steps.finish("failed, will be retried", failed=True)

    def _interrupt(self) -> None:
        """End the run after Ctrl-C: Dagster would retry the step."""
        self.is_interrupted = True
        raise KeyboardInterrupt

    def _collect(self, key: AssetKey, metadata: Mapping[str, Any]) -> list[str]:
        """Collect what an asset did; return it in words, or nothing if the progress of the step is enough."""
        run = self.this_run
        match key.to_user_string():
            case _ if key in _FEEDS:
                landed = run.landed[_FEEDS[key]] = _landed(metadata)
                return [f"{_FEEDS[key]}: {landed}"] if landed.files or landed.files_set_aside else []
            case "marts/fct_session_starts" if "unchanged_since_build" in metadata:
                return ["nothing has landed since the last build"]
            case "published_marts":
                days = metadata["report_days_replaced"]
                run.report_days_changed = None if days == "all" else days
                run.rows_written, run.rows_more = metadata["rows_written"], metadata["rows_more_than_before"]
                return [run.published]
            case "postgres_marts":
                return ["updated" if metadata["changed"] else "nothing changed"]
            case "session_starts_tsv":
                run.tsvs_written, run.tsvs_removed = metadata["files_written"], metadata["files_removed"]
                return [run.exported]
        return []


def _error_of(event: DagsterEvent) -> SerializableErrorInfo | None:
    """Return the error of a step that failed or will be retried, whether the step is shown or not."""
    match event.event_type:
        case DagsterEventType.STEP_FAILURE:
            return event.step_failure_data.error
        case DagsterEventType.STEP_UP_FOR_RETRY:
            return event.step_retry_data.error
    return None


def _is_interrupt(error: SerializableErrorInfo | None) -> bool:
    return error is not None and (error.cls_name in _INTERRUPTS or _is_interrupt(error.cause))


def _landed(metadata: Mapping[str, Any]) -> Landed:
    records, rejected, erased = (metadata[name] for name in ("records", "records_rejected", "records_erased"))
    return Landed(metadata["files_landed"], metadata["files_set_aside"], records, records - rejected - erased, rejected, erased)

"""Why a run failed, in the words of the checks and errors that stopped it."""

from collections.abc import Iterable, Iterator

from dagster import AssetCheckEvaluation, DagsterEvent


def reasons_for_failure(events: Iterable[DagsterEvent]) -> list[str]:
    """Return each reason once, in the order in which they came up."""
    return list(dict.fromkeys(_reasons(events)))


def _reasons(events: Iterable[DagsterEvent]) -> Iterator[str]:
    for event in events:
        data = event.event_specific_data
        failure = getattr(data, "user_failure_data", None)
        error = getattr(data, "error", None)
        if isinstance(data, AssetCheckEvaluation):
            if not data.passed and data.blocking:
                yield data.description or f"the check {data.check_name} did not pass"
        elif failure is not None and failure.description:
            yield failure.description
        elif error is not None:
            while error.cause is not None:
                error = error.cause
            # What stopped the run is the check, and it has spoken.
            if "AssetCheckFailedError" not in (error.cls_name or ""):
                yield error.message.strip()

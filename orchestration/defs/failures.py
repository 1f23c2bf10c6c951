"""The reasons for a failed run, taken from the checks and errors that stopped it."""

from collections.abc import Iterable, Iterator

from dagster import AssetCheckEvaluation, AssetCheckResult, AssetCheckSeverity, DagsterEvent, DagsterEventType, Failure
from dagster_shared.error import SerializableErrorInfo

from orchestration.errors import ExitCode

_EXIT_CODE = "exit_code"
_LANDING_STEPS = ("land_", "fetch_")
_FAILED_CHECK = "DagsterAssetCheckFailedError"


def fail_if_blocked(checks: Iterable[AssetCheckResult]) -> None:
    """Fail the step, and with it the run, with the sentences of its failed checks: Dagster's own error contains only their names."""
    sentences = [check.description or "" for check in checks if not check.passed and check.severity is AssetCheckSeverity.ERROR]
    if sentences:
        raise failure("\n".join(sentences), ExitCode.BLOCKED)


def failure(description: str, exit_code: ExitCode | None = None) -> Failure:
    """Return a `Failure` with a description and the exit code of the job; the step is not retried."""
    return Failure(description, metadata={} if exit_code is None else {_EXIT_CODE: int(exit_code)}, allow_retries=False)


def exit_code_for_failure(events: Iterable[DagsterEvent]) -> ExitCode:
    """Return the exit code of a failed run: that of the first failed step, which causes all later failures."""
    failed = next((event for event in events if event.event_type is DagsterEventType.STEP_FAILURE), None)
    if failed is None:
        return ExitCode.FAILED
    described = failed.step_failure_data.user_failure_data
    if described is not None:
        code = described.metadata.get(_EXIT_CODE)
        return ExitCode.FAILED if code is None else ExitCode(code.value)
    # If an object store becomes unreachable while it is read, its driver raises errors of its own.
    return ExitCode.LANDING_FAILED if (failed.step_key or "").startswith(_LANDING_STEPS) else ExitCode.FAILED


def reasons_for_failure(events: Iterable[DagsterEvent]) -> list[str]:
    """Return each reason once, in the order of the events, without reasons that are part of another one."""
    reasons = list(dict.fromkeys(_reasons(events)))
    return [reason for reason in reasons if not any(reason in other for other in reasons if other != reason)]


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
            chain = _chain(error)
            foreseen = next((link for link in chain if link.cls_name == Failure.__name__), None)
            if foreseen is not None:
                # The name of the class precedes the sentence.
                yield foreseen.message.partition(": ")[2].strip()
            # The failed check is reported already.
            elif chain[-1].cls_name != _FAILED_CHECK:
                yield chain[-1].message.strip()


def unexpected_tracebacks(events: Iterable[DagsterEvent]) -> list[str]:
    """Return the traceback of every error that is neither a `Failure` nor a check, once: the step and the run both report it."""
    tracebacks: dict[str, str] = {}
    for event in events:
        error = getattr(event.event_specific_data, "error", None)
        # When a retried step finally fails, it reports its error once more.
        if error is None or event.event_type is DagsterEventType.STEP_UP_FOR_RETRY:
            continue
        chain = _chain(error)
        if not any(link.cls_name in (Failure.__name__, _FAILED_CHECK) for link in chain):
            tracebacks.setdefault(chain[-1].message, getattr(event.event_specific_data, "error_display_string", error.to_string()))
    return list(tracebacks.values())


def _chain(error: SerializableErrorInfo) -> list[SerializableErrorInfo]:
    """Return an error and its causes, down to the first one."""
    return [error, *(_chain(error.cause) if error.cause is not None else [])]

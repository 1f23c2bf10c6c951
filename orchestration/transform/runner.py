"""The production build: which nodes dbt runs, and what they report."""

from typing import Any

from orchestration.settings import Settings
from orchestration.transform.builds import Build, BuildKind
from orchestration.transform.invocation import DbtError, common_arguments, invoke
from orchestration.transform.parsed import parsed_project

# Look-ups with their own tests, and views below the marts: they are what they were as long as the definition is. Each is
# named itself (`empty`), because dbt would leave out with it every test that reads it, also those of a model that changed.
_WITHOUT_WHAT_IS_SAME_AS_BEFORE = [
    "--indirect-selection", "empty",
    "--exclude", "resource_type:seed", "file:lookups.yml",
    "config.materialized:view,path:models/staging", "config.materialized:view,path:models/intermediate",
    "config.materialized:view,path:models/metrics",
]  # fmt: skip


def build_arguments(settings: Settings, build: Build) -> list[str]:
    """Return dbt's command line for the production build: models, look-ups and data tests, no unit tests.

    A build upon another one of the same definition leaves out what cannot have changed, a third of the nodes.
    """
    # Nobody reads what dbt would write of its results: they are told as it runs.
    arguments = ["build", "--exclude-resource-type", "unit_test", "--no-write-json", *common_arguments(settings)]
    if build.kind is BuildKind.REBUILD:
        return [*arguments, "--full-refresh"]
    if build.kind is BuildKind.INCREMENT:
        return [*arguments, *_WITHOUT_WHAT_IS_SAME_AS_BEFORE]
    return arguments


def build_people(settings: Settings, *, full_refresh: bool) -> None:
    """Bring the table of people up to what has landed, outside a build. Raises `DbtError`."""
    arguments = ["run", "--select", "+int_people_identified", "--no-write-json", *common_arguments(settings)]
    _, failure = run_dbt(settings, [*arguments, "--full-refresh"] if full_refresh else arguments)
    if failure is not None:
        raise failure


def run_dbt(settings: Settings, arguments: list[str]) -> tuple[list[dict[str, Any]], DbtError | None]:
    """Run a dbt command on the parsed project; return its events as dbt's JSON log would show them, and what went wrong if anything did."""
    from google.protobuf.json_format import MessageToDict

    events: list[dict[str, Any]] = []

    def remember(event: Any) -> None:
        if event.info.name in {"LogModelResult", "LogSeedResult", "LogTestResult", "LogSnapshotResult"}:
            events.append(MessageToDict(event, preserving_proto_field_name=True))

    try:
        invoke(settings, arguments, parsed_project(settings).manifest(), remember)
    except DbtError as failure:
        return events, failure
    return events, None

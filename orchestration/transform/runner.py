"""The production build: which nodes dbt runs, and what they report."""

from typing import Any

from orchestration.settings import Settings
from orchestration.transform.builds import Build
from orchestration.transform.invocation import DbtError, common_arguments, invoke
from orchestration.transform.parsed import parsed_project


def build_arguments(settings: Settings, build: Build) -> list[str]:
    """Return dbt's command line for a build of the job; `dbt_project/selectors.yml` says what each of the two builds.

    What is no increment is made from the raw tables: dbt by hand, or an attempt that failed, may have left tables of another
    version behind.
    """
    selection = ["--selector", "increment"] if build.is_increment else ["--selector", "production", "--full-refresh"]
    # No file of results: they are reported as dbt runs.
    return ["build", *selection, "--no-write-json", *common_arguments(settings)]


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

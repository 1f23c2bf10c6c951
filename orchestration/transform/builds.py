"""The record of builds: what the marts are complete through, and which report days a build changed."""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb

from orchestration.settings import DBT_PROJECT_DIR, Settings
from orchestration.yaml_files import read_yaml

MARTS = (
    *("fct_session_starts", "fct_notifications"),
    *("funnel_session_starts", "status_session_starts", "session_starts_daily", "sends_by_hour"),
    "fct_billed_messages",
)
# The facts in whose log of changed days the days of the report stand, and those of WhatsApp's bill (`facts` in the macros of dbt).
STARTS = ("fct_notifications", "int_starts_without_notification_unioned")
BILL = ("fct_billed_messages",)
# The day under which rows are kept that have none: no time of a record falls on it (`billed_day` in the macros of dbt).
UNDATED = date.min

_INTERMEDIATE = "intermediate"
# Tests as well: a check that is new has passed on nothing yet.
_DEFINITION_FOLDERS = ("models", "macros", "tests", "seeds")
_DEFINITION_EXTENSIONS = {".sql", ".yml", ".csv", ".md"}


# Stands for tables that no definition explains: some are being made again from the raw tables, and until all are, the others
# do not fit them. Only another build from the raw tables may follow. Written by `dbt_project/macros/run_guards.sql`, too.
_UNSETTLED = ""

_NEWEST_CHANGE = "(select coalesce(max(change_number), 0) from state.changed_days)"


@dataclass(frozen=True)
class FinishedBuild:
    """A build whose checks have all passed, and which may be published."""

    build_id: int
    through_load_id: int
    definition_sha256: str
    started_at: datetime
    change_number: int


@dataclass(frozen=True)
class Build:
    """A build under way: an increment upon a finished build of the same definition, or one from the raw tables."""

    build_id: int
    through_load_id: int
    definition_sha256: str
    is_increment: bool


def build_that_still_holds(connection: duckdb.DuckDBPyConnection, settings: Settings) -> FinishedBuild | None:
    """Return the last build if it finished, nothing has landed since, and it was of today's definition."""
    build = last_finished_build(connection)
    if build is None or build.definition_sha256 != definition_sha256(settings):
        return None
    row = connection.execute("select coalesce(max(load_id), 0) from raw.landed_files").fetchone()
    return build if row == (build.through_load_id,) else None


def start_build(connection: duckdb.DuckDBPyConnection, settings: Settings) -> Build:
    """Open a build; it is an increment when `next_is_increment`. One from the raw tables is unsettled until it finishes."""
    definition = definition_sha256(settings)
    is_increment = _next_is_increment(connection, definition)
    if not is_increment:
        _record_variables(connection, settings)
    row = connection.execute(
        """
        insert into state.builds by name
        select
            (select coalesce(max(build_id), 0) + 1 from state.builds) as build_id,
            $now as started_at,
            null as finished_at,
            (select coalesce(max(load_id), 0) from raw.landed_files) as through_load_id,
            $definition as definition_sha256
        returning build_id, through_load_id
        """,
        {"now": datetime.now(UTC).replace(tzinfo=None), "definition": definition if is_increment else _UNSETTLED},
    ).fetchone()
    assert row is not None
    return Build(row[0], row[1], definition, is_increment)


def next_is_increment(connection: duckdb.DuckDBPyConnection, settings: Settings) -> bool:
    """Return whether the last finished build and every attempt since, which has left its own tables behind, are of today's definition."""
    return _next_is_increment(connection, definition_sha256(settings))


def _next_is_increment(connection: duckdb.DuckDBPyConnection, definition: str) -> bool:
    row = connection.execute(
        """
        select count(finished_at) > 0 and count(*) filter (definition_sha256 <> $definition) = 0
        from state.builds
        where build_id >= (select coalesce(max(build_id), 0) from state.builds where finished_at is not null)
        """,
        {"definition": definition},
    ).fetchone()
    return row == (True,)


def finish_build(connection: duckdb.DuckDBPyConnection, build: Build) -> None:
    """Record that every check of the build has passed: from here on the marts may be published."""
    connection.execute(
        "update state.builds set finished_at = $now, definition_sha256 = $definition where build_id = $build_id",
        {"now": datetime.now(UTC).replace(tzinfo=None), "definition": build.definition_sha256, "build_id": build.build_id},
    )


def drop_tables_of_no_model(connection: duckdb.DuckDBPyConnection, manifest: Mapping[str, Any]) -> None:
    """Drop from the schema `intermediate` what an older version of the project built and this one (dbt's manifest) does not.

    Nothing would bring it up to what lands, and it would keep its room, and what it says of people, for ever.
    """
    known = [node["alias"] for node in manifest["nodes"].values() if node["schema"] == _INTERMEDIATE]
    rows = connection.execute(
        """
        select case table_type when 'VIEW' then 'view' else 'table' end, '"' || replace(table_name, '"', '""') || '"'
        from information_schema.tables
        where table_catalog = current_database() and table_schema = $schema and not list_contains($known, table_name)
        """,
        {"schema": _INTERMEDIATE, "known": known},
    ).fetchall()
    for kind, name in rows:
        connection.execute(f"drop {kind} {_INTERMEDIATE}.{name}")


def _record_variables(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Write down the variables with which the marts are built whole; dbt by hand refuses to go on with others."""
    connection.execute("delete from state.variables")
    for name, value in settings.dbt_vars.items():
        connection.execute("insert into state.variables values ($name, $value)", {"name": name, "value": value})


def invalidate_builds(connection: duckdb.DuckDBPyConnection, *, of_person: bool = False) -> None:
    """Make the next build start from the raw tables.

    It is complete through nothing then, so that whether too much was rejected is asked of all files together:
    those that a replay reads again would never pass on their own. With `of_person` a person was taken out: no build of before is known
    any more (`is_known`), so what was published and exported from one goes, and all is written again.
    """
    connection.execute("update state.builds set definition_sha256 = $unsettled, through_load_id = 0", {"unsettled": _UNSETTLED})
    if of_person:
        connection.execute("update state.builds set started_at = started_at - interval 1 microsecond")


def last_finished_build(connection: duckdb.DuckDBPyConnection) -> FinishedBuild | None:
    """Return the build that may be published, or None where the latest one did not finish."""
    row = connection.execute(
        f"""
        select build_id, through_load_id, definition_sha256, started_at, {_NEWEST_CHANGE}, finished_at
        from state.builds order by build_id desc limit 1
        """
    ).fetchone()
    if row is None or row[5] is None:
        return None
    return FinishedBuild(*row[:5])


def is_known(connection: duckdb.DuckDBPyConnection, build_id: int, started_at: datetime) -> bool:
    """Say whether a build is one of this warehouse: a new one counts from 1 again, and must not be taken for the old."""
    row = connection.execute(
        "select count(*) from state.builds where build_id = $build_id and started_at = $started_at",
        {"build_id": build_id, "started_at": started_at},
    ).fetchone()
    return row == (1,)


def days_changed_since(connection: duckdb.DuckDBPyConnection, change_number: int, facts: Collection[str]) -> list[date]:
    """Return the days on which one of some facts changed after the change of that number, oldest first.

    Those of `BILL` are the days of WhatsApp's bill, and `UNDATED` where messages without one changed.
    """
    rows = connection.execute(
        "select distinct session_start_date from state.changed_days "
        "where change_number > $change_number and fact in (select unnest($facts)) order by session_start_date",
        {"change_number": change_number, "facts": list(facts)},
    ).fetchall()
    return [day for (day,) in rows]


def definition_sha256(settings: Settings) -> str:
    """Hash everything that decides what the marts say about given raw tables.

    dbt works out the same hash for the runs that it guards (`dbt_project/macros/run_guards.sql`).
    """
    project = DBT_PROJECT_DIR / "dbt_project.yml"
    folders = [DBT_PROJECT_DIR / name for name in _DEFINITION_FOLDERS]
    files = [project, *(path for folder in folders for path in folder.rglob("*") if path.suffix in _DEFINITION_EXTENSIONS)]
    hashes = sorted((path.relative_to(DBT_PROJECT_DIR).as_posix(), hashlib.sha256(path.read_bytes()).hexdigest()) for path in files)
    lines = [f"{path} {file_hash}" for path, file_hash in hashes]
    variables = {**_variables(project), **settings.dbt_vars}
    return hashlib.sha256("\n".join([json.dumps(variables, sort_keys=True), *lines]).encode()).hexdigest()


def _variables(project: Path) -> dict[str, Any]:
    return read_yaml(project)["vars"]

"""The record of builds: up to which load the marts are complete, and which report days each build changed."""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb

from orchestration.settings import DBT_PROJECT_DIR, Engine, Settings
from orchestration.yaml_files import read_yaml

MARTS = (
    *("fct_session_starts", "fct_notifications"),
    *("funnel_session_starts", "status_session_starts", "session_starts_daily", "sends_by_hour"),
    "fct_billed_messages",
)
# The facts whose changed days are days of the report, and those whose changed days are days of WhatsApp's bill (dbt macro `facts`).
REPORT_FACTS = ("fct_notifications", "int_starts_without_notification_unioned")
BILL_FACTS = ("fct_billed_messages",)
# The day under which rows without a day are stored: no record's time falls on it (dbt macro `billed_day`).
UNDATED = date.min

_INTERMEDIATE = "intermediate"
# Tests are included, because a new check has not yet passed on any data.
_DEFINITION_FOLDERS = ("models", "macros", "tests", "seeds")
_DEFINITION_EXTENSIONS = {".sql", ".yml", ".csv", ".md"}


# Marks tables that no single definition produced: a rebuild from the raw tables has started, and until it finishes, the tables not
# yet rebuilt do not match the others. Only another rebuild may follow. `dbt_project/macros/run_guards.sql` also writes this value.
_NO_DEFINITION = ""

_NEWEST_CHANGE = "(select coalesce(max(change_number), 0) from state.changed_days)"


@dataclass(frozen=True)
class FinishedBuild:
    """A build whose checks have all passed, so that it may be published."""

    build_id: int
    through_load_id: int
    definition_sha256: str
    started_at: datetime
    change_number: int


@dataclass(frozen=True)
class Build:
    """A build in progress: an increment on a finished build of the same definition, or a rebuild from the raw tables."""

    build_id: int
    through_load_id: int
    definition_sha256: str
    is_increment: bool


def current_build(connection: duckdb.DuckDBPyConnection, settings: Settings) -> FinishedBuild | None:
    """Return the last build if it finished, nothing has landed since, and it used the current definition; otherwise None."""
    build = last_finished_build(connection)
    if build is None or build.definition_sha256 != definition_sha256(settings):
        return None
    row = connection.execute("select coalesce(max(load_id), 0) from raw.landed_files").fetchone()
    return build if row == (build.through_load_id,) else None


def start_build(connection: duckdb.DuckDBPyConnection, settings: Settings) -> Build:
    """Record the start of a build: an increment if `next_is_increment`, else a rebuild, whose definition is stored at its end."""
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
        {"now": datetime.now(UTC).replace(tzinfo=None), "definition": definition if is_increment else _NO_DEFINITION},
    ).fetchone()
    assert row is not None
    return Build(row[0], row[1], definition, is_increment)


def next_is_increment(connection: duckdb.DuckDBPyConnection, settings: Settings) -> bool:
    """Return whether the last finished build and every later attempt, which left tables behind, used the current definition."""
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
    """Record that every check of the build has passed: from now on the marts may be published."""
    connection.execute(
        "update state.builds set finished_at = $now, definition_sha256 = $definition where build_id = $build_id",
        {"now": datetime.now(UTC).replace(tzinfo=None), "definition": build.definition_sha256, "build_id": build.build_id},
    )


def drop_orphaned_tables(connection: duckdb.DuckDBPyConnection, manifest: Mapping[str, Any]) -> None:
    """Drop tables and views in the schema `intermediate` that an older version of the project built and dbt's manifest no longer lists.

    Nothing would update them, and they would keep their disk space and their data about people forever.
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
    """Store the variables of a rebuild from the raw tables; dbt by hand refuses to continue with other values."""
    connection.execute("delete from state.variables")
    for name, value in settings.dbt_vars.items():
        connection.execute("insert into state.variables values ($name, $value)", {"name": name, "value": value})


def invalidate_builds(connection: duckdb.DuckDBPyConnection, *, after_erasure: bool = False, after_reread: bool = False) -> None:
    """Make the next build start from the raw tables. Until then, nothing is published.

    With `after_reread`, files were read again: `through_load_id` becomes 0, so that the check for too many rejected records considers
    all files together, because these files would never pass on their own. Otherwise what has passed that check is not checked again.
    With `after_erasure`, a person was erased: no earlier build is known any more (`is_build_of_this_warehouse`), so everything
    published or exported from one is removed and rewritten.
    """
    connection.execute("update state.builds set definition_sha256 = $no_definition", {"no_definition": _NO_DEFINITION})
    if after_reread:
        connection.execute("update state.builds set through_load_id = 0")
    if after_erasure:
        connection.execute("update state.builds set started_at = started_at - interval 1 microsecond")


def last_finished_build(connection: duckdb.DuckDBPyConnection) -> FinishedBuild | None:
    """Return the latest build, or None if it must not be published: it did not finish, or was invalidated since."""
    row = connection.execute(
        f"""
        select build_id, through_load_id, definition_sha256, started_at, {_NEWEST_CHANGE}, finished_at
        from state.builds order by build_id desc limit 1
        """
    ).fetchone()
    if row is None or row[5] is None or row[2] == _NO_DEFINITION:
        return None
    return FinishedBuild(*row[:5])


def is_build_of_this_warehouse(connection: duckdb.DuckDBPyConnection, build_id: int, started_at: datetime) -> bool:
    """Return whether a build belongs to this warehouse: a new warehouse numbers its builds from 1 again."""
    row = connection.execute(
        "select count(*) from state.builds where build_id = $build_id and started_at = $started_at",
        {"build_id": build_id, "started_at": started_at},
    ).fetchone()
    return row == (1,)


def days_changed_since(connection: duckdb.DuckDBPyConnection, change_number: int, facts: Collection[str]) -> list[date]:
    """Return the days on which any of these facts changed after change `change_number`, oldest first.

    The days of `BILL_FACTS` are days of WhatsApp's bill, and include `UNDATED` if messages without a day changed.
    """
    rows = connection.execute(
        "select distinct session_start_date from state.changed_days "
        "where change_number > $change_number and fact in (select unnest($facts)) order by session_start_date",
        {"change_number": change_number, "facts": list(facts)},
    ).fetchall()
    return [day for (day,) in rows]


def definition_sha256(settings: Settings) -> str:
    """Hash everything that determines the marts, apart from the raw tables.

    dbt computes the same hash for the runs that it guards (`dbt_project/macros/run_guards.sql`). The version of DuckDB is included because
    its rules for time zones change from one version to the next; Spark has rules of its own.
    """
    project = DBT_PROJECT_DIR / "dbt_project.yml"
    folders = [DBT_PROJECT_DIR / name for name in _DEFINITION_FOLDERS]
    files = [project, *(path for folder in folders for path in folder.rglob("*") if path.suffix in _DEFINITION_EXTENSIONS)]
    hashes = sorted((path.relative_to(DBT_PROJECT_DIR).as_posix(), hashlib.sha256(path.read_bytes()).hexdigest()) for path in files)
    lines = [f"{path} {file_hash}" for path, file_hash in hashes]
    variables = {**_variables(project), **settings.dbt_vars}
    library = duckdb.__duckdb_version__  # pyright: ignore[reportPrivateImportUsage]
    engine = [f"duckdb {library}"] if settings.engine is Engine.DUCKDB else []
    return hashlib.sha256("\n".join([json.dumps(variables, sort_keys=True), *engine, *lines]).encode()).hexdigest()


def _variables(project: Path) -> dict[str, Any]:
    return read_yaml(project)["vars"]

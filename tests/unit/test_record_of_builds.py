"""Tests of the record of builds: what the next build may continue from, and what changes the definition of the marts."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import duckdb
import pytest

from orchestration.landing.feeds import RAW_SCHEMA_SQL
from orchestration.settings import Settings, SparkSettings
from orchestration.transform import builds
from orchestration.transform.builds import (
    BILL_FACTS,
    REPORT_FACTS,
    current_build,
    days_changed_since,
    definition_sha256,
    drop_orphaned_tables,
    finish_build,
    invalidate_builds,
    last_finished_build,
    next_is_increment,
    start_build,
)

SETTINGS = Settings()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Replace the dbt project by one with a file of each kind that determines the marts."""
    for name in ("models/a.sql", "models/a.yml", "macros/b.sql", "tests/c.sql", "seeds/lookups/d.csv", "models/e.md"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("one")
    (tmp_path / "dbt_project.yml").write_text("vars: {max_rejected_share: 0.05}")
    monkeypatch.setattr(builds, "DBT_PROJECT_DIR", tmp_path)
    return tmp_path


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as made:
        made.execute("set timezone = 'UTC'")
        made.execute(RAW_SCHEMA_SQL)
        yield made


def land(connection: duckdb.DuckDBPyConnection, load_id: int) -> None:
    connection.execute(
        "insert into raw.landed_files values ('sends', 'a', 'x', 1, 1, 1, 0, 0, 'landed', null, timestamp '2026-11-01', $load_id, 1)",
        {"load_id": load_id},
    )


def attempt_builds(connection: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch, attempts: list[tuple[str, bool]]) -> None:
    """Start builds one after another, each as (its definition, whether it finishes)."""
    for definition, finishes in attempts:
        monkeypatch.setattr(builds, "definition_sha256", lambda _settings, definition=definition: definition)
        attempt = start_build(connection, SETTINGS)
        if finishes:
            finish_build(connection, attempt)


def test_every_file_of_the_project_and_every_setting_belongs_to_the_definition(project: Path) -> None:
    definitions = {definition_sha256(SETTINGS)}
    for path in sorted(path for path in project.rglob("*") if path.is_file()):
        path.write_text(path.read_text() + " ")
        definitions.add(definition_sha256(SETTINGS))
    definitions.add(definition_sha256(Settings(report_timezone="Pacific/Apia")))
    assert len(definitions) == 9
    before = definition_sha256(SETTINGS)
    (project / "models" / "notes.txt").write_text("not read by dbt")
    assert definition_sha256(SETTINGS) == before
    (project / "models" / "a.sql").rename(project / "models" / "z.sql")
    assert definition_sha256(SETTINGS) != before


def test_version_of_duckdb_belongs_to_the_definition_of_marts_that_it_builds(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_spark = replace(SETTINGS, spark=SparkSettings(project / "lake"))
    before = definition_sha256(SETTINGS), definition_sha256(on_spark)
    monkeypatch.setattr(duckdb, "__duckdb_version__", "99.0.0")
    assert (definition_sha256(SETTINGS) != before[0], definition_sha256(on_spark) == before[1]) == (True, True)


def test_build_is_current_until_something_lands_or_is_invalidated(connection: duckdb.DuckDBPyConnection, project: Path) -> None:
    assert current_build(connection, SETTINGS) is None
    land(connection, 1)
    build = start_build(connection, SETTINGS)
    assert (last_finished_build(connection), current_build(connection, SETTINGS)) == (None, None)
    finish_build(connection, build)
    finished = current_build(connection, SETTINGS)
    assert finished is not None
    assert (finished.build_id, finished.through_load_id) == (1, 1)
    land(connection, 2)
    assert current_build(connection, SETTINGS) is None
    assert last_finished_build(connection) == finished
    invalidate_builds(connection)
    # Nothing may be published from it any more.
    assert last_finished_build(connection) is None
    assert not next_is_increment(connection, SETTINGS)
    builds_known = "select through_load_id, started_at from state.builds"
    assert connection.execute(builds_known).fetchall() == [(1, finished.started_at)]
    invalidate_builds(connection, after_reread=True)
    # All files count as new for the check for too many rejected records.
    assert connection.execute(builds_known).fetchall() == [(0, finished.started_at)]


@pytest.mark.parametrize(
    ("attempts", "is_increment"),
    [
        ([], False),
        ([("a", False)], False),
        ([("a", True)], True),
        ([("a", True), ("a", False)], True),
        ([("b", True)], False),
        # Tables of another definition are partially built, whether or not an earlier build has finished.
        ([("a", True), ("b", False)], False),
        ([("b", False)], False),
        ([("b", True), ("a", True)], True),
    ],
)
def test_build_continues_only_from_tables_of_its_own_definition(
    connection: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch, attempts: list[tuple[str, bool]], is_increment: bool
) -> None:
    attempt_builds(connection, monkeypatch, attempts)
    monkeypatch.setattr(builds, "definition_sha256", lambda _settings: "a")
    assert next_is_increment(connection, SETTINGS) is is_increment
    assert start_build(connection, SETTINGS).is_increment is is_increment


@pytest.mark.parametrize(
    ("attempts", "landed_since", "holds"),
    [
        ([], False, False),
        ([("a", True)], False, True),
        ([("a", True)], True, False),
        ([("b", True)], False, False),
        ([("a", True), ("a", False)], False, False),
        ([("a", False), ("a", True)], False, True),
    ],
)
def test_build_is_current_until_records_land_or_its_definition_changes(
    connection: duckdb.DuckDBPyConnection,
    monkeypatch: pytest.MonkeyPatch,
    attempts: list[tuple[str, bool]],
    landed_since: bool,
    holds: bool,
) -> None:
    attempt_builds(connection, monkeypatch, attempts)
    if landed_since:
        land(connection, 1)
    monkeypatch.setattr(builds, "definition_sha256", lambda _settings: "a")
    assert (current_build(connection, SETTINGS) is not None) is holds


def test_build_from_the_raw_tables_has_no_definition_until_it_finishes(connection: duckdb.DuckDBPyConnection, project: Path) -> None:
    """An interrupted build must not be continued by dbt by hand."""
    newest, definitions = "select definition_sha256 from state.builds order by build_id desc limit 1", []
    for _ in range(2):
        build = start_build(connection, SETTINGS)
        definitions += connection.execute(newest).fetchall()
        finish_build(connection, build)
        definitions += connection.execute(newest).fetchall()
    definition = (definition_sha256(SETTINGS),)
    assert definitions == [("",), definition, definition, definition]


def test_rebuild_records_the_variables_of_its_settings_and_an_increment_none(connection: duckdb.DuckDBPyConnection) -> None:
    def recorded() -> dict[str, str]:
        return dict(connection.execute("from state.variables").fetchall())

    billed, plain = Settings(billing_currency="EUR"), Settings(report_timezone="Asia/Tokyo")
    finish_build(connection, start_build(connection, billed))
    assert recorded() == {"report_timezone": "America/Sao_Paulo", "billing_currency": "EUR"}
    start_build(connection, plain)
    assert recorded() == {"report_timezone": "Asia/Tokyo"}
    # An increment has the recorded variables.
    finish_build(connection, start_build(connection, plain))
    connection.execute("delete from state.variables")
    assert start_build(connection, plain).is_increment
    assert recorded() == {}


def test_only_the_build_that_finished_is_recorded_as_finished(
    connection: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt_builds(connection, monkeypatch, [("a", True), ("b", False), ("b", True)])
    builds_known = "select definition_sha256, finished_at is not null from state.builds order by build_id"
    assert connection.execute(builds_known).fetchall() == [("a", True), ("", False), ("b", True)]


@pytest.mark.parametrize(
    ("change_number", "facts", "days"),
    [
        (0, REPORT_FACTS, [1, 2, 3]),
        (1, REPORT_FACTS, [1, 2]),
        (3, REPORT_FACTS, []),
        (0, BILL_FACTS, [4]),
        (0, (*REPORT_FACTS, *BILL_FACTS), [1, 2, 3, 4]),
    ],
)
def test_changed_days_are_those_of_the_given_facts_after_a_change(
    connection: duckdb.DuckDBPyConnection, change_number: int, facts: tuple[str, ...], days: list[int]
) -> None:
    fact, other = REPORT_FACTS
    logged = [(fact, 3, 1), (fact, 1, 2), (other, 2, 3), (other, 1, 3), (*BILL_FACTS, 4, 3)]
    rows = [(name, date(2026, 10, day), number) for name, day, number in logged]
    connection.executemany("insert into state.changed_days values (?, ?, ?)", rows)
    assert days_changed_since(connection, change_number, facts) == [date(2026, 10, day) for day in days]


def test_only_intermediate_tables_and_views_without_a_model_are_dropped() -> None:
    nodes = [{"schema": "intermediate", "alias": "of_a_model"}, {"schema": "marts", "alias": "mart"}]
    with duckdb.connect() as connection:
        for schema in ("intermediate", "marts", "raw"):
            connection.execute(f"create schema {schema}")
        for table in ("intermediate.of_a_model", "intermediate.mart", 'intermediate."odd "" name"', "marts.of_no_model", "raw.sends"):
            connection.execute(f"create table {table} (n integer)")
        connection.execute("create view intermediate.old_view as from raw.sends")
        connection.execute(
            "attach ':memory:' as other; create schema other.intermediate; create table other.intermediate.theirs (n integer)"
        )
        drop_orphaned_tables(connection, {"nodes": {str(number): node for number, node in enumerate(nodes)}})
        left = connection.execute("select table_schema || '.' || table_name from information_schema.tables order by all").fetchall()
        connection.execute("from other.intermediate.theirs")
    assert left == [("intermediate.of_a_model",), ("intermediate.theirs",), ("marts.of_no_model",), ("raw.sends",)]

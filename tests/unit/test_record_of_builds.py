"""Tests of the record of builds: what the next build may continue from, and what changes the definition of the marts."""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from orchestration.landing.feeds import RAW_SCHEMA_SQL
from orchestration.settings import Settings
from orchestration.transform import builds
from orchestration.transform.builds import (
    current_build,
    definition_sha256,
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


def test_build_is_an_increment_only_after_finished_builds_of_the_same_definition(
    connection: duckdb.DuckDBPyConnection, project: Path
) -> None:
    assert not start_build(connection, SETTINGS).is_increment
    # A rebuild that did not finish left tables of no single definition.
    rebuild = start_build(connection, SETTINGS)
    assert not rebuild.is_increment
    finish_build(connection, rebuild)
    increment = start_build(connection, SETTINGS)
    assert increment.is_increment
    # An increment that did not finish may be continued.
    assert next_is_increment(connection, SETTINGS)
    (project / "seeds" / "lookups" / "d.csv").write_text("two")
    assert not next_is_increment(connection, SETTINGS)
    assert not start_build(connection, SETTINGS).is_increment
    (project / "seeds" / "lookups" / "d.csv").write_text("one")
    assert not next_is_increment(connection, SETTINGS)


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
    invalidated = last_finished_build(connection)
    assert invalidated is not None
    assert (invalidated.through_load_id, invalidated.started_at) == (1, finished.started_at)
    assert not next_is_increment(connection, SETTINGS)
    invalidate_builds(connection, after_reread=True)
    reread = last_finished_build(connection)
    # All files count as new for the check for too many rejected records.
    assert reread is not None
    assert reread.through_load_id == 0

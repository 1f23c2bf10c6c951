"""Tests that warehouses of older versions are migrated with their rows, and those of a newer version are refused."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from orchestration.errors import StartsError
from orchestration.landing.feeds import RAW_SCHEMA_SQL, READER_VERSION
from orchestration.landing.migrations import RAW_SCHEMA_VERSION, prepare_raw_schema, raw_schema_version
from orchestration.settings import Settings
from orchestration.warehouse import open_warehouse

OLD_WAREHOUSES = Path(__file__).parents[1] / "data" / "old_warehouses"
# In an interim version that was used for a day, results of people without a session were refused.
BETWEEN = "alter table raw.botmaker_sent_results alter session_id set not null"
OLD = {
    "first_commit": ("first_commit.sql", ""),
    "between": ("contract_version_1.sql", BETWEEN),
    "contract_version_1": ("contract_version_1.sql", ""),
}
COUNTED = ("landed_files", "landing_listing", "rejected_records", "sends", "webhook_statuses", "webhook_messages", "webhook_other_kinds")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(landing=str(tmp_path), data=tmp_path)


@pytest.fixture
def old_warehouse(settings: Settings) -> Callable[[str], Settings]:
    def make(name: str) -> Settings:
        file, more = OLD[name]
        with duckdb.connect(str(settings.warehouse_path)) as connection:
            connection.execute((OLD_WAREHOUSES / file).read_text(encoding="utf-8"))
            connection.execute(more)
        return settings

    return make


def columns(connection: duckdb.DuckDBPyConnection) -> list[Any]:
    return connection.execute(
        """
        select schema_name, table_name, column_index, column_name, data_type, is_nullable
        from duckdb_columns() where schema_name in ('raw', 'state') and table_name <> 'schema_version' order by all
        """
    ).fetchall()


def count(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    row = connection.execute(f"select count(*) from raw.{table}").fetchone()
    assert row is not None
    return row[0]


@pytest.mark.parametrize("name", OLD)
def test_old_warehouse_is_migrated_and_keeps_its_rows(old_warehouse: Callable[[str], Settings], name: str) -> None:
    settings = old_warehouse(name)
    with duckdb.connect(str(settings.warehouse_path)) as old:
        before = {table: count(old, table) for table in COUNTED}
    assert min(before.values()) >= 1
    with duckdb.connect() as fresh:
        fresh.execute(RAW_SCHEMA_SQL)
        declared = columns(fresh)
    with open_warehouse(settings) as connection:
        assert columns(connection) == declared
        assert {table: count(connection, table) for table in COUNTED} == before
        assert raw_schema_version(connection) == RAW_SCHEMA_VERSION
        # A rejected record keeps its line number and text, a send its values.
        rejected = connection.execute("select line_number, record from raw.rejected_records where feed = 'sends'").fetchall()
        assert rejected == [(4, "not JSON")]
        sends = connection.execute("select message_id, error_code from raw.sends order by message_id").fetchall()
        assert sends == [("refused-3", "131026"), ("wamid.1", None), ("wamid.2", None)]


@pytest.mark.parametrize("name", OLD)
def test_migrated_rows_have_the_old_reader_version_and_defaults(old_warehouse: Callable[[str], Settings], name: str) -> None:
    settings = old_warehouse(name)
    with duckdb.connect(str(settings.warehouse_path)) as old:
        old.execute("insert into raw.webhook_messages select * replace (null as message_type) from raw.webhook_messages limit 1")
    with open_warehouse(settings) as connection:
        assert connection.execute("select distinct reader_version, erased from raw.landed_files").fetchall() == [(1, 0)]
        # Version 1 counted every reaction as an answer.
        messages = connection.execute(
            "select message_type, has_reaction_emoji, is_in_group from raw.webhook_messages order by message_type"
        ).fetchall()
        assert messages == [("reaction", True, False), ("text", False, False), (None, False, False)]


@pytest.mark.parametrize("name", OLD)
def test_models_built_from_old_tables_are_rebuilt(old_warehouse: Callable[[str], Settings], name: str) -> None:
    with open_warehouse(old_warehouse(name)) as connection:
        schemas = connection.execute("select schema_name from duckdb_schemas() where not internal order by schema_name").fetchall()
        assert schemas == [("raw",), ("state",)]
        assert connection.execute("select count(*) from state.builds").fetchone() == (0,)


def test_everything_built_is_reset_when_a_raw_table_is_dropped(settings: Settings) -> None:
    with duckdb.connect(str(settings.warehouse_path)) as connection:
        connection.execute(RAW_SCHEMA_SQL)
        connection.execute("create table raw.former (name varchar)")
        for schema in ("marts", "intermediate", "staging"):
            connection.execute(f"create schema {schema}; create table {schema}.built as select 1 as one")
        connection.execute("insert into state.builds values (1, now()::timestamp, now()::timestamp, 7, 'x')")
        connection.execute("insert into state.variables values ('report_timezone', 'UTC')")
        connection.execute("insert into state.changed_days values ('fct_notifications', date '2026-10-01', 7)")
        connection.execute("insert into state.watermarks values ('sends_by_hour', 7)")
    with open_warehouse(settings) as connection:
        schemas = connection.execute("select schema_name from duckdb_schemas() where not internal order by schema_name").fetchall()
        assert schemas == [("raw",), ("state",)]
        for table in ("builds", "variables", "changed_days", "watermarks"):
            assert connection.execute(f"from state.{table}").fetchall() == [], table
        assert ("raw", "former") not in {column[:2] for column in columns(connection)}


def test_warehouse_of_version_2_is_migrated_and_keeps_its_rows(settings: Settings) -> None:
    with open_warehouse(settings) as connection:
        prepare_raw_schema(connection)
        connection.execute("alter table raw.botmaker_sent_results drop column contact_id")
        connection.execute("update state.schema_version set version = 2")
        connection.execute(
            "insert into raw.botmaker_sent_results (session_id, _file_name, _line_number, _landed_at, _load_id) "
            "values ('S', 'a', 1, timestamp '2026-11-01', 1)"
        )
    with open_warehouse(settings) as connection:
        assert connection.execute("select session_id, contact_id from raw.botmaker_sent_results").fetchall() == [("S", None)]
        assert raw_schema_version(connection) == RAW_SCHEMA_VERSION


def test_current_warehouse_is_not_changed(settings: Settings) -> None:
    with open_warehouse(settings) as connection:
        prepare_raw_schema(connection)
        connection.execute("create schema marts; create table marts.kept as select 1 as one")
        connection.execute("insert into state.builds values (1, now()::timestamp, null, 0, 'x')")
    with open_warehouse(settings) as connection:
        prepare_raw_schema(connection)
        assert connection.execute("select count(*) from marts.kept").fetchone() == (1,)
        assert connection.execute("select count(*) from state.builds").fetchone() == (1,)


def test_new_table_within_a_version_is_added_and_nothing_else_changes(settings: Settings) -> None:
    with open_warehouse(settings) as connection:
        prepare_raw_schema(connection)
        declared = columns(connection)
        connection.execute("drop table raw.rates")
        connection.execute("create schema marts; create table marts.kept as select 1 as one")
    with open_warehouse(settings) as connection:
        prepare_raw_schema(connection)
        assert columns(connection) == declared
        assert connection.execute("select count(*) from marts.kept").fetchone() == (1,)


def test_current_tables_without_a_version_get_one_and_keep_their_marts(settings: Settings) -> None:
    with duckdb.connect(str(settings.warehouse_path)) as connection:
        connection.execute(RAW_SCHEMA_SQL)
        connection.execute("create schema marts; create table marts.kept as select 1 as one")
    with open_warehouse(settings) as connection:
        assert raw_schema_version(connection) == RAW_SCHEMA_VERSION
        assert connection.execute("select count(*) from marts.kept").fetchone() == (1,)


def test_warehouse_of_a_newer_version_is_refused_and_not_changed(settings: Settings) -> None:
    with open_warehouse(settings) as connection:
        prepare_raw_schema(connection)
        connection.execute("update state.schema_version set version = $version", {"version": RAW_SCHEMA_VERSION + 1})
        connection.execute("alter table raw.sends add column later varchar")
    with pytest.raises(StartsError, match="newer version of this project"), open_warehouse(settings):
        pass
    with duckdb.connect(str(settings.warehouse_path)) as connection:
        assert "later" in {column[3] for column in columns(connection)}


def test_warehouse_of_a_newer_reader_is_refused(settings: Settings) -> None:
    """Its raw tables may be the same, but the next run would read new files by older rules."""
    with open_warehouse(settings) as connection:
        prepare_raw_schema(connection)
        connection.execute(
            "insert into raw.landed_files values ('sends', 'a', 'x', 1, 1, 1, 0, 0, 'landed', null, now()::timestamp, 1, $reader)",
            {"reader": READER_VERSION + 1},
        )
    with pytest.raises(StartsError, match=f"read by reader {READER_VERSION + 1}"), open_warehouse(settings):
        pass


def test_failed_migration_changes_nothing(old_warehouse: Callable[[str], Settings], monkeypatch: pytest.MonkeyPatch) -> None:
    settings = old_warehouse("contract_version_1")
    monkeypatch.setattr("orchestration.landing.migrations._DEFAULTS_FOR_OLD_ROWS", {})
    with pytest.raises(KeyError), open_warehouse(settings):
        pass
    with duckdb.connect(str(settings.warehouse_path)) as connection:
        assert raw_schema_version(connection) == 1
        assert count(connection, "sends") == 3
        assert "_line_md5" in {column[3] for column in columns(connection)}


def test_change_of_the_raw_tables_raises_their_version() -> None:
    """Existing warehouses are migrated only if the version is higher. Raise it after any change beyond a new table."""
    with duckdb.connect() as connection:
        connection.execute(RAW_SCHEMA_SQL)
        fingerprint = hashlib.sha256(repr(columns(connection)).encode()).hexdigest()[:12]
    assert (RAW_SCHEMA_VERSION, fingerprint) == (3, "6f77c00862e7")


def test_opening_an_empty_warehouse_creates_no_tables(settings: Settings) -> None:
    with open_warehouse(settings) as connection:
        assert columns(connection) == []

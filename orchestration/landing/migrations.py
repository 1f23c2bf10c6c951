"""Migrate the raw tables: a warehouse of an older version is upgraded in place, one of a newer version is refused."""

from contextlib import suppress
from functools import cache
from typing import TypeAlias

import duckdb

from orchestration.errors import StartsError
from orchestration.landing.feeds import RAW_SCHEMA_SQL, READER_VERSION
from orchestration.transactions import transaction

# Raise it with every change to raw_schema.sql. Version 1 is any schema from before versions were recorded.
RAW_SCHEMA_VERSION = 3

# The schemas that dbt builds from the raw tables, and the state of those builds. Both are reset when raw tables change.
_BUILT_SCHEMAS = ("marts", "intermediate", "staging")
_BUILD_STATE_TABLES = ("builds", "variables", "changed_days", "watermarks")

# Values for rows of version 1, as SQL over the old row, in the columns that they lack and that must not be null. Reader 1 did not
# handle groups, reaction emoji or erased people.
_DEFAULTS_FOR_OLD_ROWS = {
    ("raw", "landed_files", "erased"): "0",
    ("raw", "landed_files", "reader_version"): "1",
    ("raw", "webhook_messages", "has_reaction_emoji"): "coalesce(message_type = 'reaction', false)",
    ("raw", "webhook_messages", "is_in_group"): "false",
}

_Table: TypeAlias = tuple[str, str]
_Columns: TypeAlias = dict[str, tuple[str, bool]]


def prepare_raw_schema(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the schemas `raw` and `state` of the current database, or upgrade those of an older version.

    Runs in one transaction. Rows that have landed are kept. If a table changes, everything built from the raw tables is dropped,
    and the next run rebuilds it. Raises `StartsError` if a newer version of the project wrote the schemas.
    """
    version = raw_schema_version(connection)
    if version == RAW_SCHEMA_VERSION:
        _refuse_newer_reader(connection)
        if not _declared_tables().keys() <= _tables(connection).keys():
            # A table was added within this version; nothing has been built from it yet.
            connection.execute(RAW_SCHEMA_SQL)
        return
    if version > RAW_SCHEMA_VERSION:
        raise StartsError(
            f"The warehouse was written by a newer version of this project: its raw tables have version {version}, and this installation "
            f"supports up to {RAW_SCHEMA_VERSION}. Update it, or set STARTS_DATA to another folder. Nothing was changed."
        )
    with transaction(connection):
        _upgrade(connection)
        connection.execute("create table if not exists state.schema_version (version integer not null)")
        connection.execute("delete from state.schema_version")
        connection.execute("insert into state.schema_version values ($version)", {"version": RAW_SCHEMA_VERSION})


def _refuse_newer_reader(connection: duckdb.DuckDBPyConnection) -> None:
    """Raise `StartsError` if a newer reader read any file: this one would read its new files with older rules, beside the others."""
    row = connection.execute("select max(reader_version) from raw.landed_files").fetchone()
    if row is not None and row[0] is not None and row[0] > READER_VERSION:
        raise StartsError(
            f"The warehouse was written by a newer version of this project: its files were read by reader {row[0]}, and this installation "
            f"has reader {READER_VERSION}. Update it, or set STARTS_DATA to another folder. Nothing was changed."
        )


def raw_schema_version(connection: duckdb.DuckDBPyConnection) -> int:
    """Return the version of the raw tables in the current database: 0 if there are none, 1 if none was recorded."""
    with suppress(duckdb.CatalogException):
        row = connection.execute("select max(version) from state.schema_version").fetchone()
        if row is not None and row[0] is not None:
            return int(row[0])
    return 1 if any(schema == "raw" for schema, _ in _tables(connection)) else 0


def _upgrade(connection: duckdb.DuckDBPyConnection) -> None:
    declared, before = _declared_tables(), _tables(connection)
    changed = [table for table in before if table in declared and declared[table] != before[table]]
    gone = [table for table in before if table not in declared and table[0] == "raw"]
    for schema, name in changed:
        connection.execute(f"alter table {schema}.{name} rename to {name}_before")
    connection.execute(RAW_SCHEMA_SQL)
    for table in changed:
        _copy_rows(connection, table, before[table], declared[table])
    for schema, name in gone:
        connection.execute(f"drop table {schema}.{name}")
    if changed or gone:
        for schema in _BUILT_SCHEMAS:
            connection.execute(f"drop schema if exists {schema} cascade")
        for name in _BUILD_STATE_TABLES:
            connection.execute(f"delete from state.{name}")


def _copy_rows(connection: duckdb.DuckDBPyConnection, table: _Table, before: _Columns, declared: _Columns) -> None:
    """Copy the rows of the old table instead of altering it.

    This way the columns keep the declared order, and nothing else can depend on the table.
    """
    schema, name = table
    values = {column: column for column in declared if column in before}
    for column, (_, is_nullable) in declared.items():
        if column not in before and not is_nullable:
            values[column] = _DEFAULTS_FOR_OLD_ROWS[(schema, name, column)]
    selected = ", ".join(f"{value} as {column}" for column, value in values.items())
    connection.execute(f"insert into {schema}.{name} by name select {selected} from {schema}.{name}_before")
    connection.execute(f"drop table {schema}.{name}_before")


@cache
def _declared_tables() -> dict[_Table, _Columns]:
    with duckdb.connect() as scratch:
        scratch.execute(RAW_SCHEMA_SQL)
        return _tables(scratch)


def _tables(connection: duckdb.DuckDBPyConnection) -> dict[_Table, _Columns]:
    """Return the tables of the schemas `raw` and `state` in the current database, with the type and nullability of each column."""
    rows = connection.execute(
        """
        select schema_name, table_name, column_name, data_type, is_nullable
        from duckdb_columns()
        where database_name = current_database() and schema_name in ('raw', 'state')
        order by schema_name, table_name, column_index
        """
    ).fetchall()
    tables: dict[_Table, _Columns] = {}
    for schema, table, column, data_type, is_nullable in rows:
        tables.setdefault((schema, table), {})[column] = (data_type, bool(is_nullable))
    return tables

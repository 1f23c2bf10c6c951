"""The lake's tables of schemas `raw` and `state`, and a copy of the small ones in a DuckDB database of the driver.

What a run remembers (the ledger, the listing, the record of builds) is small beside the data, so the code of the one-machine
warehouse works on a copy of it in memory. What it changed is written back, each table in one atomic commit. Raw rows never pass
through the driver.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

import duckdb

from orchestration.engines.spark.history import drop_schema
from orchestration.engines.spark.locations import local_path, pattern_of
from orchestration.errors import StartsError
from orchestration.files import quoted
from orchestration.landing.migrations import RAW_SCHEMA_VERSION, prepare_raw_schema

if TYPE_CHECKING:
    from pyspark.sql import SparkSession  # pyright: ignore[reportMissingImports]

# What the driver changes, in the order in which it is written back: a build is invalid before the ledger says why, and a name is known
# only when its content is.
_WRITTEN = (
    *("state.schema_version", "state.files_passed_over", "state.variables", "state.builds"),
    *("raw.landed_files", "raw.landing_listing"),
)
# What dbt writes, or executors.
_READ = ("state.changed_days", "state.watermarks")

_TABLES_AT_ONCE = 4

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_SPARK_TYPES = {"VARCHAR": "string", "INTEGER": "int"}


class ControlTables:
    """The driver's copy, as a connection on which the code of the one-machine warehouse works."""

    def __init__(self, spark: SparkSession, lake: Path) -> None:
        self._spark = spark
        self._drafts = lake / ".drafts"
        self.connection = duckdb.connect(config={"threads": 2})
        self.connection.execute("set timezone = 'UTC'")
        prepare_raw_schema(self.connection)
        self._written: dict[str, tuple[int, int]] = {}
        # A block that failed has left changes here that do not count.
        self.is_stale = False
        _create_tables(spark, self.connection)
        self.read()

    def read(self) -> None:
        """Take over what the lake has. Raises `StartsError` where another version of the project wrote it."""
        for table in _WRITTEN:
            self._read(table)
            self._written[table] = self._state_of(table)
        self.read_state()
        self.read_quarantine()
        self._check_version()
        self.is_stale = False

    def _read(self, table: str, replaced: str = "") -> None:
        self.connection.execute(f"delete from {table}")
        files = data_files(self._spark, table)
        if files:
            self.connection.execute(f"insert into {table} by name select * {replaced} from read_parquet({literal(files)})")

    def read_state(self) -> None:
        """Take over what dbt has written."""
        from pyspark.errors import AnalysisException  # pyright: ignore[reportMissingImports]

        for table in _READ:
            self._read(table)
        self.connection.execute("create schema if not exists intermediate")
        self.connection.execute(
            "create or replace table intermediate.int_newest_events "
            "(feed varchar, channel_id varchar, line_number varchar, newest_event_at timestamp)"
        )
        with suppress(AnalysisException):
            # A view that a first build makes.
            columns = "feed, channel_id, line_number, cast(newest_event_at as string)"
            rows = self._spark.sql(f"select {columns} from intermediate.int_newest_events").collect()
            if rows:
                self.connection.executemany("insert into intermediate.int_newest_events values (?, ?, ?, ?)", [list(row) for row in rows])

    def read_quarantine(self, *, with_texts: bool = False) -> None:
        """Take over what was rejected. Its texts, which may be long, stay in the lake unless they are asked for: no sum needs them."""
        self._read("raw.rejected_records", "" if with_texts else "replace (null as record)")

    def write(self) -> None:
        """Write back what has changed since it was read or written."""
        for table in _WRITTEN:
            state = self._state_of(table)
            if state != self._written[table]:
                self._overwrite(table)
                self._written[table] = state

    def _check_version(self) -> None:
        row = self.connection.execute("select max(version) from state.schema_version").fetchone()
        if row == (None,):
            self.connection.execute("insert into state.schema_version values ($version)", {"version": RAW_SCHEMA_VERSION})
        elif row != (RAW_SCHEMA_VERSION,):
            raise StartsError(
                "The lake's raw tables are of another version of this project: use that version, or set STARTS_LAKE to another place."
            )

    def _state_of(self, table: str) -> tuple[int, int]:
        row = self.connection.execute(f"select count(*), coalesce(sum(hash(t)), 0)::hugeint from {table} as t").fetchone()
        return cast("tuple[int, int]", row)

    def _overwrite(self, table: str) -> None:
        from pyspark.sql import functions  # pyright: ignore[reportMissingImports]

        self._drafts.mkdir(parents=True, exist_ok=True)
        draft = self._drafts / f"{table}.parquet"
        copy_to_parquet(self.connection, f"from {table}", draft)
        self._spark.read.parquet(pattern_of(draft)).writeTo(table).overwrite(functions.lit(True))
        draft.unlink()


def drop_tables(spark: SparkSession, lake: Path) -> None:
    """Delete every table and view of the project, with their files."""
    schemas = {row["namespace"] for row in spark.sql("show schemas").collect()}
    for schema in ("marts", "intermediate", "staging", "state", "raw"):
        if schema in schemas:
            drop_schema(spark, lake, schema)


def copy_to_parquet(connection: duckdb.DuckDBPyConnection, query: str, path: Path) -> int:
    """Write a query's rows, its naive UTC times as instants, which is how Spark has them; return their number."""
    times = [name for name, data_type, *_ in connection.execute(query).description or [] if str(data_type) == "TIMESTAMP"]
    replaced = ", ".join(f"timezone('UTC', {name}) as {name}" for name in times)
    row = connection.execute(
        f"copy (select * {f'replace ({replaced})' if times else ''} from ({query})) to {quoted(path)} (format parquet, compression zstd)"
    ).fetchone()
    assert row is not None
    return int(row[0])


def data_files(spark: SparkSession, table: str) -> list[str]:
    """Return the paths of the Parquet files that are a table's rows. Every writer of these tables rewrites files (copy on write)."""
    rows = spark.sql(f"select content, file_path from {table}.files").collect()
    if any(row["content"] != 0 for row in rows):
        raise StartsError(
            f"{table} has files of deleted rows: rewrite it with the procedure rewrite_data_files, or write it by copy on write."
        )
    return [local_path(row["file_path"]) for row in rows]


def in_threads(function: Callable[[_Item], _Result], items: Iterable[_Item]) -> list[_Result]:
    """Do something for each of some tables, a few at a time: most are small, and each is a job of its own."""
    with ThreadPoolExecutor(_TABLES_AT_ONCE) as pool:
        return list(pool.map(function, items))


def literal(texts: Iterable[str]) -> str:
    return f"[{', '.join(map(quoted, texts))}]"


def _create_tables(spark: SparkSession, connection: duckdb.DuckDBPyConnection) -> None:
    """Create the tables of `raw_schema.sql` that the lake lacks.

    A `not null` would refuse what Spark cannot prove to be none; the landing lets none through.
    """
    columns = connection.execute(
        """
        select schema_name || '.' || table_name, list(column_name || ' ' || data_type order by column_index)
        from duckdb_columns()
        where schema_name in ('raw', 'state')
        group by all
        order by all
        """
    ).fetchall()
    for schema in ("raw", "state"):
        spark.sql(f"create schema if not exists {schema}")
    known = {
        f"{row['namespace']}.{row['tableName']}" for schema in ("raw", "state") for row in spark.sql(f"show tables in {schema}").collect()
    }
    # Rows come sorted by load already, and a run adds few: no shuffle before they are written.
    statements = [
        f"create table {table} ({', '.join(map(_in_spark, declared))}) using iceberg tblproperties ('write.distribution-mode' = 'none')"
        for table, declared in columns
        if table not in known
    ]
    # The catalog takes a second for each.
    in_threads(spark.sql, statements)


def _in_spark(column: str) -> str:
    name, data_type = column.split(" ", 1)
    return f"{name} {_SPARK_TYPES.get(data_type, data_type)}"

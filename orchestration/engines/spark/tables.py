"""The lake's tables in the schemas `raw` and `state`, and the driver's copy of the small ones in a DuckDB database.

The ledger, the listing and the record of builds are small compared with the data, so the single-machine code works on a copy of them
in memory. Changed tables are written back, each in one atomic commit. Raw rows never pass through the driver.
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

# The tables that the driver changes, in the order in which they are written back: a build is invalidated before the ledger contains the
# reason, and a file name is known only after its content.
_WRITTEN = (
    *("state.schema_version", "state.files_passed_over", "state.variables", "state.builds"),
    *("raw.landed_files", "raw.landing_listing"),
)
# The tables that dbt or executors write.
_READ = ("state.changed_days", "state.watermarks")

_TABLES_AT_ONCE = 4

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_SPARK_TYPES = {"VARCHAR": "string", "INTEGER": "int"}


class ControlTables:
    """The driver's copy of the small tables, with a connection that the single-machine code works on."""

    def __init__(self, spark: SparkSession, lake: Path) -> None:
        self._spark = spark
        self._drafts = lake / ".drafts"
        self.connection = duckdb.connect(config={"threads": 2})
        self.connection.execute("set timezone = 'UTC'")
        prepare_raw_schema(self.connection)
        self._written: dict[str, tuple[int, int]] = {}
        # True after a failed block, which may have left invalid changes in the copy.
        self.is_stale = False
        _create_tables(spark, self.connection)
        self.read()

    def read(self) -> None:
        """Copy the tables from the lake. Raises `StartsError` if another version of the project wrote them."""
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
        """Copy the tables that dbt writes."""
        from pyspark.errors import AnalysisException  # pyright: ignore[reportMissingImports]

        for table in _READ:
            self._read(table)
        self.connection.execute("create schema if not exists intermediate")
        self.connection.execute(
            "create or replace table intermediate.int_newest_events "
            "(feed varchar, channel_id varchar, line_number varchar, newest_event_at timestamp)"
        )
        with suppress(AnalysisException):
            # The first build creates this view.
            columns = "feed, channel_id, line_number, cast(newest_event_at as string)"
            rows = self._spark.sql(f"select {columns} from intermediate.int_newest_events").collect()
            if rows:
                self.connection.executemany("insert into intermediate.int_newest_events values (?, ?, ?, ?)", [list(row) for row in rows])

    def read_quarantine(self, *, with_texts: bool = False) -> None:
        """Copy the rejected records, by default without their texts, which may be long and which no count needs."""
        self._read("raw.rejected_records", "" if with_texts else "replace (null as record)")

    def write(self) -> None:
        """Write back the tables that have changed since they were last read or written."""
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
                "Another version of this project wrote the lake's raw tables. Use that version, or set STARTS_LAKE to another folder."
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
    """Delete all tables and views of the project, with their files."""
    schemas = {row["namespace"] for row in spark.sql("show schemas").collect()}
    for schema in ("marts", "intermediate", "staging", "state", "raw"):
        if schema in schemas:
            drop_schema(spark, lake, schema)


def copy_to_parquet(connection: duckdb.DuckDBPyConnection, query: str, path: Path) -> int:
    """Write a query's rows to a Parquet file, with naive UTC times as instants, as Spark stores them; return the number of rows."""
    times = [name for name, data_type, *_ in connection.execute(query).description or [] if str(data_type) == "TIMESTAMP"]
    replaced = ", ".join(f"timezone('UTC', {name}) as {name}" for name in times)
    row = connection.execute(
        f"copy (select * {f'replace ({replaced})' if times else ''} from ({query})) to {quoted(path)} (format parquet, compression zstd)"
    ).fetchone()
    assert row is not None
    return int(row[0])


def data_files(spark: SparkSession, table: str) -> list[str]:
    """Return the paths of a table's Parquet files. Raises `StartsError` for delete files: all writers of these tables use copy-on-write."""
    rows = spark.sql(f"select content, file_path from {table}.files").collect()
    if any(row["content"] != 0 for row in rows):
        raise StartsError(f"{table} has delete files. Rewrite it with the procedure rewrite_data_files, or write it with copy-on-write.")
    return [local_path(row["file_path"]) for row in rows]


def in_threads(function: Callable[[_Item], _Result], items: Iterable[_Item]) -> list[_Result]:
    """Return the function's result for each table, working on a few at a time: most are small, and each needs its own Spark job."""
    with ThreadPoolExecutor(_TABLES_AT_ONCE) as pool:
        return list(pool.map(function, items))


def literal(texts: Iterable[str]) -> str:
    return f"[{', '.join(map(quoted, texts))}]"


def _create_tables(spark: SparkSession, connection: duckdb.DuckDBPyConnection) -> None:
    """Create the tables of `raw_schema.sql` that the lake does not have.

    They are created without `not null`: Spark would refuse values that it cannot prove to be non-null. Landing lets no nulls through.
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
    # Rows are already sorted by load, and a run adds few of them, so Spark does not shuffle them before writing.
    statements = [
        f"create table {table} ({', '.join(map(_spark_column, declared))}) using iceberg tblproperties ('write.distribution-mode' = 'none')"
        for table, declared in columns
        if table not in known
    ]
    # The catalog takes a second per statement.
    in_threads(spark.sql, statements)


def _spark_column(column: str) -> str:
    name, data_type = column.split(" ", 1)
    return f"{name} {_SPARK_TYPES.get(data_type, data_type)}"

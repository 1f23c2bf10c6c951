"""Run a function of this package on executors, an item to a task: what goes there and comes back is small text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

if TYPE_CHECKING:
    from pyspark.sql import SparkSession  # pyright: ignore[reportMissingImports]

# A task has one core. What does not fit into its memory is written to the executor's disk; a batch of landed files takes 0.5 GB.
MEMORY = "1GB"


def on_executors(spark: SparkSession, function: Callable[[str], str], items: list[str]) -> list[str]:
    """Return what a function makes of each item, in no order. A task that is lost is run again: it must bear that."""

    def work(batches: Iterator[Any]) -> Iterator[Any]:
        for batch in batches:
            yield pa.RecordBatch.from_pylist([{"result": function(items[index])} for index in batch.column("id").to_pylist()])

    if not items:
        return []
    # A range has exactly one number in each of its partitions.
    numbers: Any = spark.range(0, len(items), 1, len(items))
    return [row["result"] for row in numbers.mapInArrow(work, "result string").collect()]


def open_scratch(temp_directory: str, database: str = ":memory:", *, read_only: bool = False) -> duckdb.DuckDBPyConnection:
    """Open a DuckDB for one task; times are UTC."""
    connection = duckdb.connect(
        database, read_only=read_only, config={"threads": 1, "memory_limit": MEMORY, "temp_directory": temp_directory}
    )
    connection.execute("set timezone = 'UTC'")
    return connection

"""Run a function of this package on executors, one task per item. Items and results are short texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

if TYPE_CHECKING:
    from pyspark.sql import SparkSession  # pyright: ignore[reportMissingImports]

# DuckDB's memory in a task, which has one core. Larger data spills to the executor's disk; a batch of landed files takes 0.5 GB.
MEMORY = "1GB"


def on_executors(spark: SparkSession, function: Callable[[str], str], items: list[str]) -> list[str]:
    """Return the function's result for each item, in no particular order. The function must tolerate that a lost task is run again."""

    def work(batches: Iterator[Any]) -> Iterator[Any]:
        for batch in batches:
            yield pa.RecordBatch.from_pylist([{"result": function(items[index])} for index in batch.column("id").to_pylist()])

    if not items:
        return []
    # This range has exactly one number in each partition.
    numbers: Any = spark.range(0, len(items), 1, len(items))
    return [row["result"] for row in numbers.mapInArrow(work, "result string").collect()]


def open_scratch(temp_directory: str, database: str = ":memory:", *, read_only: bool = False) -> duckdb.DuckDBPyConnection:
    """Open a DuckDB database for one task, with times in UTC."""
    connection = duckdb.connect(
        database, read_only=read_only, config={"threads": 1, "memory_limit": MEMORY, "temp_directory": temp_directory}
    )
    connection.execute("set timezone = 'UTC'")
    return connection

"""Delete data from the lake that no current row needs. Iceberg keeps every earlier state of a table, including deleted rows."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestration.engines.spark.locations import local_path
from orchestration.engines.spark.session import CATALOG

if TYPE_CHECKING:
    from pyspark.sql import SparkSession  # pyright: ignore[reportMissingImports]


def expire_history(spark: SparkSession, table: str) -> None:
    """Delete a table's earlier states, and the files in its folder that belong to no state, such as those of a killed task.

    The caller holds the writer's lock, so no other writer has files that will belong to the table later.
    """
    frame: Any = spark.table(table)
    # The manifest of a commit lists the removed files with their smallest and largest values. The next commit, here an empty one, drops it.
    spark.createDataFrame([], frame.schema).writeTo(table).append()
    after_all = datetime.now(UTC) + timedelta(days=1)
    spark.sql(
        f"call {CATALOG}.system.expire_snapshots("
        f"table => '{table}', older_than => timestamp '{after_all:%Y-%m-%d %H:%M:%S}', retain_last => 1)"
    )
    kept = {
        local_path(row[0])
        for files in (f"file_path from {table}.all_files", f"path from {table}.all_manifests", f"manifest_list from {table}.snapshots")
        for row in spark.sql(f"select {files}").collect()
    }
    folder = _folder_of(spark, table)
    # The JSON metadata files contain counts but no values, so they stay.
    for path in (*(folder / "data").rglob("*"), *(folder / "metadata").glob("*.avro*")):
        if path.is_file() and str(_file_of_checksum(path)) not in kept:
            path.unlink()


def drop_schema(spark: SparkSession, lake: Path, schema: str) -> None:
    """Delete all tables and views of a schema, with their files and any files that killed tasks left in its folder."""
    # The session's temporary views are listed in every schema.
    for row in spark.sql(f"show views in {schema}").where("not isTemporary").collect():
        spark.sql(f"drop view {schema}.{row['viewName']}")
    for row in spark.sql(f"show tables in {schema}").where("not isTemporary").collect():
        spark.sql(f"drop table {schema}.{row['tableName']} purge")
    shutil.rmtree(lake / f"{schema}.db", ignore_errors=True)


def _folder_of(spark: SparkSession, table: str) -> Path:
    rows = spark.sql(f"describe table extended {table}").collect()
    return Path(next(local_path(row["data_type"]) for row in rows if row["col_name"] == "Location"))


def _file_of_checksum(path: Path) -> Path:
    # Hadoop writes a checksum file `.name.crc` next to each file.
    return path.with_name(path.name[1:-4]) if path.name.startswith(".") and path.suffix == ".crc" else path

"""Publish from the lake: one executor writes each month of a mart as a Parquet file, masked and sorted as on one machine.

The DuckDB file of a version contains views over these files instead of rows, and `publish_info`. So exports on demand, comparisons and
BI tools read the published marts as on one machine, without Spark. `parquet/publish_info.parquet` is for readers of Parquet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import duckdb
import pyarrow as pa

from orchestration.engines.spark.executors import open_scratch
from orchestration.engines.spark.tables import in_threads
from orchestration.errors import StartsError
from orchestration.files import make_folder, quoted, restrict_file, sync_file
from orchestration.publication.draft import attached, write_comments
from orchestration.publication.marts import PUBLISHED_MARTS, PublishedMart, month_of
from orchestration.publication.masking import prepare_masking, published_rows
from orchestration.publication.parquet import PARQUET_OPTIONS, ReusableFile, RowsByDay, by_month
from orchestration.publication.person_columns import Mask, masks_in_force
from orchestration.publication.publish import Publication, Work, finish_version, work_of
from orchestration.publication.publish_info import write_publish_info
from orchestration.publication.source import source_of
from orchestration.publication.versions import (
    DATABASE,
    PARQUET,
    WrittenFile,
    current_version,
    link_or_copy,
    new_version,
    recover_publication,
    written_file,
)
from orchestration.settings import Settings
from orchestration.transform.builds import FinishedBuild
from orchestration.transform.parsed import parsed_project

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession  # pyright: ignore[reportMissingImports]


def publish_from_lake(spark: SparkSession, control: duckdb.DuckDBPyConnection, settings: Settings, build: FinishedBuild) -> Publication:
    """Update the published files to a finished build; change no byte if nothing changed. Raises `StartsError`."""
    recover_publication(settings)
    source = source_of(settings, build)
    current = current_version(settings)
    work = work_of(control, settings, current, source, False)
    if work.is_empty:
        return work.unchanged()
    folder = new_version(settings)
    make_folder(folder / PARQUET, settings)
    rows_by_day = dict(in_threads(lambda mart: (mart.name, _rows_by_day(spark, mart)), PUBLISHED_MARTS))
    masks = masks_in_force(settings)
    written = in_threads(
        lambda mart: _write_mart(spark, settings, folder, mart, rows_by_day[mart.name], work, masks.get(mart.name, {})), PUBLISHED_MARTS
    )
    files = [file for of_mart in written for file in of_mart]
    database = folder / DATABASE
    duckdb.connect(str(database)).close()
    with attached(control, database, read_only=False):
        _create_views(spark, control, settings, folder, rows_by_day)
        write_publish_info(control, settings, build, source)
        info = folder / PARQUET / "publish_info.parquet"
        control.execute(f"copy draft.main.publish_info to {quoted(info)} (format parquet)")
    for path in (database, info):
        restrict_file(path, settings, read_only=True)
        sync_file(path)
        files.append(written_file(folder, path))
    return finish_version(control, settings, folder, work, source, current, rows_by_day, files)


def _rows_by_day(spark: SparkSession, mart: PublishedMart) -> RowsByDay:
    rows = spark.sql(f"select {mart.day} as day, count(*) as rows from marts.{mart.name} group by 1").collect()
    return {row["day"]: row["rows"] for row in rows}


@dataclass(frozen=True)
class _Piece:
    """A month of a mart that an executor writes to `path`."""

    path: str
    first_day: date
    last_day: date
    rows: int


def _write_mart(
    spark: SparkSession,
    settings: Settings,
    folder: Path,
    mart: PublishedMart,
    rows_by_day: RowsByDay,
    work: Work,
    masks: Mapping[str, Mask],
) -> list[WrittenFile]:
    """Write the changed months of a mart, and link the others; return all files of the mart."""
    make_folder(folder / PARQUET / mart.name, settings)
    changed_months = {month_of(day) for day in work.days_by_mart.get(mart.name, [])}
    files: list[WrittenFile] = []
    pieces: list[_Piece] = []
    for month, days in by_month(rows_by_day, lambda day: day).items():
        name = f"{PARQUET}/{mart.name}/{month}.parquet"
        path, rows = folder / name, sum(days.values())
        old: ReusableFile | None = work.reusable.get(name)
        if old is not None and month not in changed_months and old.rows == rows:
            link_or_copy(old.path, path)
            files.append(written_file(folder, path, rows))
        else:
            pieces.append(_Piece(str(path), min(days), max(days), rows))
    for piece, draft in _written(spark, settings, mart, pieces, masks):
        path = Path(piece.path)
        draft.rename(path)
        restrict_file(path, settings, read_only=True)
        sync_file(path)
        files.append(written_file(folder, path, piece.rows))
    return files


def _written(
    spark: SparkSession, settings: Settings, mart: PublishedMart, pieces: list[_Piece], masks: Mapping[str, Mask]
) -> Iterator[tuple[_Piece, Path]]:
    """Have executors write some months; yield each with its draft. Raises `StartsError` if a draft's row count differs from the mart's."""
    if not pieces:
        return
    from pyspark.sql import functions  # pyright: ignore[reportMissingImports]

    months = [
        functions.when(functions.expr(mart.is_between(piece.first_day, piece.last_day)), functions.lit(n)) for n, piece in enumerate(pieces)
    ]
    rows: DataFrame = spark.table(f"marts.{mart.name}")
    columns = rows.columns
    numbered = rows.withColumn("_piece", functions.coalesce(*months)).where("_piece is not null")
    # Executors need none of the Spark settings, which may include keys of an object store.
    executor_settings = replace(settings, spark=None)

    def write(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for number, draft, count in _write_pieces(batches, mart, pieces, columns, executor_settings, masks):
            yield pa.RecordBatch.from_pylist([{"piece": number, "draft": draft, "rows": count}])

    shuffled: Any = numbered.repartition(len(pieces), "_piece")
    found = shuffled.mapInArrow(write, "piece bigint, draft string, rows bigint").collect()
    by_piece = {row["piece"]: row for row in found}
    for number, piece in enumerate(pieces):
        if number not in by_piece or by_piece[number]["rows"] != piece.rows:
            raise StartsError(
                f"{piece.path} would not contain the {piece.rows} rows of marts.{mart.name}. Nothing is published. Run again."
            )
        yield piece, Path(by_piece[number]["draft"])


def _write_pieces(
    batches: Iterator[pa.RecordBatch],
    mart: PublishedMart,
    pieces: list[_Piece],
    columns: list[str],
    settings: Settings,
    masks: Mapping[str, Mask],
) -> Iterator[tuple[int, str, int]]:
    """Write, on an executor, the months whose rows it receives; yield the number, draft and row count of each."""
    first = next(batches, None)
    if first is None:
        return
    with TemporaryDirectory(prefix="publication-") as scratch, open_scratch(scratch, f"{scratch}/rows.duckdb") as connection:
        prepare_masking(connection, settings)
        schema = _to_naive_utc(first).schema

        def rows() -> Iterator[pa.RecordBatch]:
            yield _to_naive_utc(first)
            yield from map(_to_naive_utc, batches)

        connection.register("rows", pa.RecordBatchReader.from_batches(schema, rows()))
        connection.execute("create table rows_here as from rows")
        for (number,) in connection.execute("select distinct _piece from rows_here order by all").fetchall():
            query = published_rows(columns, "rows_here", settings, masks, f"_piece = {number}")
            draft = Path(pieces[number].path).with_name(f".{uuid4().hex}.draft")
            row = connection.execute(f"copy (from ({query}) order by {mart.order_by}) to {quoted(draft)} ({PARQUET_OPTIONS})").fetchone()
            assert row is not None
            yield number, str(draft), int(row[0])


def _to_naive_utc(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Convert Spark's instants to naive UTC times, as in the marts."""
    columns = [column.cast(pa.timestamp("us")) if pa.types.is_timestamp(column.type) else column for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _create_views(
    spark: SparkSession, control: duckdb.DuckDBPyConnection, settings: Settings, folder: Path, rows_by_day: dict[str, RowsByDay]
) -> None:
    described = {
        node["name"]: node
        for node in parsed_project(settings).json["nodes"].values()
        if node["resource_type"] == "model" and node["schema"] == "marts"
    }
    for mart in PUBLISHED_MARTS:
        if rows_by_day[mart.name]:
            kind = "view"
            files = quoted(folder / PARQUET / mart.name / "*.parquet")
            control.execute(f"create view draft.main.{mart.name} as select * from read_parquet({files})")
        else:
            kind = "table"
            columns = ", ".join(f"{name} {_duckdb_type(data_type)}" for name, data_type in spark.table(f"marts.{mart.name}").dtypes)
            control.execute(f"create table draft.main.{mart.name} ({columns})")
        node = described[mart.name]
        of_columns = [("column", f"{mart.name}.{name}", column["description"]) for name, column in node["columns"].items()]
        write_comments(control, [(kind, mart.name, node["description"]), *of_columns])


def _duckdb_type(data_type: str) -> str:
    return {"string": "varchar", "int": "integer"}.get(data_type, data_type)

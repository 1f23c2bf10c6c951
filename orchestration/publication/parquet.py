"""The published marts as Parquet: a file for each mart and month (contract, section 7).

The bytes of a month follow from its rows alone, in whatever steps they came: rows have a total order, and a month of more than one
row group has row groups of its own for each day. So what a run writes is the days that changed, and of a day of which no row came or
went the columns that changed; everything else is copied as it is.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from filecmp import cmp
from pathlib import Path
from threading import local

import duckdb

from orchestration.files import make_folder, quoted, restrict_file, sync_file
from orchestration.publication.marts import PUBLISHED_MARTS, PublishedMart, month_of
from orchestration.publication.parquet_footer import ParquetFile, Part, UnknownParquetError, read_parquet_file, write_parquet_file
from orchestration.publication.versions import PARQUET, WrittenFile, link_or_copy, written_file
from orchestration.settings import Settings

# DuckDB's own default, which its readers work best with: https://duckdb.org/docs/stable/data/parquet/tips
_ROW_GROUP_ROWS = 122_880
# Bloom filters stand outside of row groups, so they could not be copied.
PARQUET_OPTIONS = f"format parquet, compression zstd, compression_level 1, row_group_size {_ROW_GROUP_ROWS}, write_bloom_filter false"

RowsByDay = dict[date, int]
# What changed of a mart, by day: the columns in which rows differ, or None where rows came or went.
ChangedDays = Mapping[date, frozenset[str] | None]


@dataclass(frozen=True)
class KeptFile:
    """A Parquet file of the version before that is as it was written."""

    path: Path
    rows: int


@dataclass(frozen=True)
class _Month:
    """A month's file that has to be written: `reusable` holds the row groups of days without a change or with one of some columns."""

    mart: PublishedMart
    path: Path
    rows_by_day: RowsByDay
    reusable: ParquetFile | None
    reusable_days: dict[date, list[int]]
    changed: ChangedDays

    @property
    def rows(self) -> int:
        return sum(self.rows_by_day.values())

    @property
    def days_to_write(self) -> list[date]:
        return [day for day in self.rows_by_day if day not in self.reusable_days or self.changed.get(day)]

    def columns_to_write(self, day: date) -> frozenset[str] | None:
        return self.changed.get(day) if day in self.reusable_days else None

    def draft_of(self, day: date) -> Path:
        return self.path.with_name(f".{self.path.name}.{day.isoformat()}.draft")


def write_parquet(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    folder: Path,
    rows_by_day: dict[str, RowsByDay],
    changed: Mapping[str, ChangedDays],
    kept: Mapping[str, KeptFile],
    folder_before: Path | None,
) -> list[WrittenFile]:
    """Write the Parquet files of a version's folder from the tables `draft.main.<mart>`; return all of them.

    `rows_by_day` are the rows of each table, and `changed` is what changed of it since the version before. `kept` are the files of
    that version, by name: a month without a changed day is a link to its file. So is one that turns out to have the same bytes as in
    `folder_before`.
    """
    files, months = [], []
    for mart in PUBLISHED_MARTS:
        changed_months = {month_of(day) for day in changed[mart.name]}
        make_folder(folder / PARQUET / mart.name, settings)
        for month, days in by_month(rows_by_day[mart.name]).items():
            name = f"{PARQUET}/{mart.name}/{month}.parquet"
            path, old = folder / name, kept.get(name)
            if old is not None and month not in changed_months and old.rows == sum(days.values()):
                link_or_copy(old.path, path)
                restrict_file(path, settings, read_only=True)
                files.append(written_file(folder, path, old.rows))
            else:
                months.append(_month(mart, path, days, old, changed[mart.name]))
    make_folder(folder / PARQUET, settings)
    _write_drafts(connection, months)
    for month in months:
        _put_together(connection, month)
        before = folder_before / month.path.relative_to(folder) if folder_before is not None else None
        if before is not None and before.is_file() and cmp(before, month.path, shallow=False):
            month.path.unlink()
            link_or_copy(before, month.path)
        restrict_file(month.path, settings, read_only=True)
        sync_file(month.path)
        files.append(written_file(folder, month.path, month.rows))
    return files


def by_month(rows_by_day: RowsByDay) -> dict[str, RowsByDay]:
    months: dict[str, RowsByDay] = defaultdict(dict)
    for day in sorted(rows_by_day):
        months[month_of(day)][day] = rows_by_day[day]
    return months


def _month(mart: PublishedMart, path: Path, rows_by_day: RowsByDay, old: KeptFile | None, changed: ChangedDays) -> _Month:
    """Find the row groups of a month's old file that can be used again."""
    nothing = _Month(mart, path, rows_by_day, None, {}, {})
    if old is None or nothing.rows <= _ROW_GROUP_ROWS:
        return nothing
    try:
        file = read_parquet_file(old.path)
    except UnknownParquetError:
        return nothing
    found: dict[date, list[int]] = defaultdict(list)
    for number, day in enumerate(file.days_of_row_groups(mart.date_column) or []):
        found[day].append(number)
    usable = {
        day: numbers
        for day, numbers in found.items()
        if changed.get(day, frozenset()) is not None and sum(file.rows_of(number) for number in numbers) == rows_by_day.get(day)
    }
    return _Month(mart, path, rows_by_day, file, usable, changed)


def _write_drafts(connection: duckdb.DuckDBPyConnection, months: Sequence[_Month]) -> None:
    """Write every small month, and every day of a large one, as many at a time as DuckDB has threads: it writes a row group with one."""
    pieces = []
    for month in months:
        if month.rows <= _ROW_GROUP_ROWS:
            pieces.append((month, month.path, list(month.rows_by_day), None))
        else:
            pieces += [(month, month.draft_of(day), [day], month.columns_to_write(day)) for day in month.days_to_write]
    threads = connection.execute("select current_setting('threads')::integer").fetchone()
    assert threads is not None
    own = local()

    def open_cursor() -> None:
        own.cursor = connection.cursor()

    def write(piece: tuple[_Month, Path, list[date], frozenset[str] | None]) -> None:
        month, path, days, columns = piece
        _write_rows(own.cursor, month.mart, path, days, columns, sum(month.rows_by_day[day] for day in days))

    with ThreadPoolExecutor(threads[0], initializer=open_cursor) as pool:
        list(pool.map(write, pieces))


def _write_rows(
    connection: duckdb.DuckDBPyConnection, mart: PublishedMart, path: Path, days: list[date], columns: frozenset[str] | None, rows: int
) -> None:
    # `columns` keeps the table's order, in which all of them stand in a file.
    chosen = "*" if columns is None else f"columns(name -> name in ({', '.join(map(quoted, sorted(columns)))}))"
    # Literals, because DuckDB prunes row groups by them and not by bound values.
    row = connection.execute(
        f"copy (select {chosen} from draft.main.{mart.name} "
        f"where {mart.is_between(days[0], days[-1])} order by {mart.order_by}) "
        f"to {quoted(path)} ({PARQUET_OPTIONS})"
    ).fetchone()
    if row != (rows,):
        raise RuntimeError(f"{path} would hold {row} rows, not {rows}")


def _put_together(connection: duckdb.DuckDBPyConnection, month: _Month) -> None:
    """Make a large month's file of the days just written and the row groups of its old file."""
    if month.rows <= _ROW_GROUP_ROWS:
        return
    try:
        parts = [_part(month, day) for day in month.rows_by_day]
        rows = write_parquet_file(month.path, parts)
    except UnknownParquetError:
        if month.reusable is None:
            raise
        # Written by another version of DuckDB: nothing of the old file is used.
        again = _Month(month.mart, month.path, month.rows_by_day, None, {}, {})
        _write_drafts(connection, [again])
        _put_together(connection, again)
        return
    if rows != month.rows:
        raise RuntimeError(f"{month.path} would hold {rows} rows, not {month.rows}")
    for draft in month.path.parent.glob(f".{month.path.name}.*.draft"):
        draft.unlink()


def _part(month: _Month, day: date) -> Part:
    if day not in month.reusable_days:
        file = read_parquet_file(month.draft_of(day))
        return Part(file, range(len(file.row_groups)))
    assert month.reusable is not None
    replaced = read_parquet_file(month.draft_of(day)) if month.changed.get(day) else None
    return Part(month.reusable, month.reusable_days[day], replaced)

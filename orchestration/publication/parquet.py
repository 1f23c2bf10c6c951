"""The published marts as Parquet: a file for each mart and month (contract, section 7).

The bytes of a month depend only on its rows, not on the steps in which they arrived. Rows have a total order, and a month with more than
one row group has separate row groups for each part: a day's rows, and the day's late rows (`PublishedMart.is_late`). A run therefore
writes only the parts that changed. If no row of a part was added or removed, it writes only the columns that changed. It copies
everything else.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from filecmp import cmp
from itertools import accumulate
from pathlib import Path
from threading import local
from typing import NamedTuple, TypeVar

import duckdb

from orchestration.files import make_folder, quoted, restrict_file, sync_file
from orchestration.publication.marts import PUBLISHED_MARTS, PublishedMart, month_of
from orchestration.publication.parquet_footer import ParquetFile, Part, UnknownParquetError, read_parquet_file, write_parquet_file
from orchestration.publication.versions import PARQUET, WrittenFile, link_or_copy, written_file
from orchestration.settings import Settings

# DuckDB's default, and the size that its reader handles best: https://duckdb.org/docs/stable/data/parquet/tips
_ROW_GROUP_ROWS = 122_880
# Bloom filters are stored outside the row groups, so they could not be copied with them.
PARQUET_OPTIONS = f"format parquet, compression zstd, compression_level 1, row_group_size {_ROW_GROUP_ROWS}, write_bloom_filter false"

RowsByDay = dict[date, int]


class DayPart(NamedTuple):
    """The unit that is written together: a day of a mart without its late rows, or only its late rows."""

    day: date
    is_late: bool = False


RowsByPart = dict[DayPart, int]
_Key = TypeVar("_Key", date, DayPart)
# The changes of a mart, by part: the columns in which rows differ, or None if rows were added or removed.
ChangedParts = Mapping[DayPart, frozenset[str] | None]


@dataclass(frozen=True)
class ReusableFile:
    """An undamaged Parquet file of the previous version."""

    path: Path
    rows: int


@dataclass(frozen=True)
class _Month:
    """A month's file to write. `reusable` has row groups of parts that did not change, or only in some columns."""

    mart: PublishedMart
    path: Path
    rows_by_part: RowsByPart
    reusable: ParquetFile | None
    reusable_parts: dict[DayPart, list[int]]
    changed: ChangedParts

    @property
    def rows(self) -> int:
        return sum(self.rows_by_part.values())

    @property
    def parts_to_write(self) -> list[DayPart]:
        return [part for part in self.rows_by_part if part not in self.reusable_parts or self.changed.get(part)]

    def columns_to_write(self, part: DayPart) -> frozenset[str] | None:
        return self.changed.get(part) if part in self.reusable_parts else None

    def draft_of(self, part: DayPart) -> Path:
        return self.path.with_name(f".{self.path.name}.{part.day.isoformat()}{'.late' * part.is_late}.draft")


# One file to write: its month, its path, the parts of days in it, and its columns (None: all).
_Piece = tuple[_Month, Path, list[DayPart], frozenset[str] | None]


def write_parquet(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    folder: Path,
    rows_by_part: dict[str, RowsByPart],
    changed: Mapping[str, ChangedParts],
    reusable: Mapping[str, ReusableFile],
    folder_before: Path | None,
) -> list[WrittenFile]:
    """Write the Parquet files of a version's folder from the tables `draft.main.<mart>`; return all of them.

    `rows_by_part` counts the rows of each table; `changed` has its changes since the previous version. `reusable` has the files of that
    version by name: the file of a month without changes becomes a link to the old file. So does a file that turns out to have the same
    bytes as in `folder_before`.
    """
    files, months = [], []
    for mart in PUBLISHED_MARTS:
        changed_months = {month_of(part.day) for part in changed[mart.name]}
        make_folder(folder / PARQUET / mart.name, settings)
        for month, parts in by_month(rows_by_part[mart.name], lambda part: part.day).items():
            name = f"{PARQUET}/{mart.name}/{month}.parquet"
            path, old = folder / name, reusable.get(name)
            if old is not None and month not in changed_months and old.rows == sum(parts.values()):
                link_or_copy(old.path, path)
                restrict_file(path, settings, read_only=True)
                files.append(written_file(folder, path, old.rows))
            else:
                months.append(_month(mart, path, parts, old, changed[mart.name]))
    make_folder(folder / PARQUET, settings)
    _write_drafts(connection, months)
    for month in months:
        _assemble(connection, month)
        before = folder_before / month.path.relative_to(folder) if folder_before is not None else None
        if before is not None and before.is_file() and cmp(before, month.path, shallow=False):
            month.path.unlink()
            link_or_copy(before, month.path)
        restrict_file(month.path, settings, read_only=True)
        sync_file(month.path)
        files.append(written_file(folder, month.path, month.rows))
    return files


def by_month(rows: Mapping[_Key, int], day_of: Callable[[_Key], date]) -> dict[str, dict[_Key, int]]:
    """Group the row counts of days, or of parts of days, by month, sorted."""
    months: dict[str, dict[_Key, int]] = defaultdict(dict)
    for key in sorted(rows):
        months[month_of(day_of(key))][key] = rows[key]
    return months


def _month(mart: PublishedMart, path: Path, rows_by_part: RowsByPart, old: ReusableFile | None, changed: ChangedParts) -> _Month:
    """Find the row groups of a month's old file that can be reused."""
    nothing = _Month(mart, path, rows_by_part, None, {}, {})
    if old is None or nothing.rows <= _ROW_GROUP_ROWS:
        return nothing
    try:
        file = read_parquet_file(old.path)
    except UnknownParquetError:
        return nothing
    groups_by_day: dict[date, list[int]] = defaultdict(list)
    for number, day in enumerate(file.days_of_row_groups(mart.date_column) or []):
        groups_by_day[day].append(number)
    usable = {}
    for part, rows in rows_by_part.items():
        groups = groups_by_day[part.day]
        # A day's late rows come last. If the expected number of rows ends exactly at a row group, the row groups up to there hold them.
        found = _first_with_rows(file, groups[::-1] if part.is_late else groups, rows)
        if found and changed.get(part, frozenset()) is not None:
            usable[part] = sorted(found)
    return _Month(mart, path, rows_by_part, file, usable, changed)


def _first_with_rows(file: ParquetFile, row_groups: list[int], rows: int) -> list[int]:
    """Return the first row groups that together have exactly `rows` rows, or none if there is no such number of them."""
    for count, rows_together in enumerate(accumulate(file.rows_of(number) for number in row_groups), start=1):
        if rows_together == rows:
            return row_groups[:count]
    return []


def _write_drafts(connection: duckdb.DuckDBPyConnection, months: Sequence[_Month]) -> None:
    """Write small months whole and large months by part, as many at a time as DuckDB has threads: it writes a row group with one thread."""
    pieces: list[_Piece] = []
    for month in months:
        if month.rows <= _ROW_GROUP_ROWS:
            pieces.append((month, month.path, list(month.rows_by_part), None))
        else:
            pieces += [(month, month.draft_of(part), [part], month.columns_to_write(part)) for part in month.parts_to_write]
    # The largest first, so that no large file keeps a single thread busy at the end.
    pieces.sort(key=_rows_of, reverse=True)
    threads = connection.execute("select current_setting('threads')::integer").fetchone()
    assert threads is not None
    own = local()

    def open_cursor() -> None:
        own.cursor = connection.cursor()

    def write(piece: _Piece) -> None:
        month, path, parts, columns = piece
        _write_rows(own.cursor, month.mart, path, parts, columns, _rows_of(piece))

    with ThreadPoolExecutor(threads[0], initializer=open_cursor) as pool:
        list(pool.map(write, pieces))


def _rows_of(piece: _Piece) -> int:
    month, _, parts, _ = piece
    return sum(month.rows_by_part[part] for part in parts)


def _write_rows(
    connection: duckdb.DuckDBPyConnection,
    mart: PublishedMart,
    path: Path,
    parts: list[DayPart],
    columns: frozenset[str] | None,
    rows: int,
) -> None:
    # `columns(…)` keeps the order of the table, which is also the order in a file with all columns.
    chosen = "*" if columns is None else f"columns(name -> name in ({', '.join(map(quoted, sorted(columns)))}))"
    # Literals, because DuckDB prunes row groups by literals but not by bound values.
    where = mart.is_between(parts[0].day, parts[-1].day)
    if len(parts) == 1:
        where += f" and {mart.is_late} = {parts[0].is_late}"
    row = connection.execute(
        f"copy (select {chosen} from draft.main.{mart.name} where {where} order by {mart.order_by}) to {quoted(path)} ({PARQUET_OPTIONS})"
    ).fetchone()
    if row != (rows,):
        raise RuntimeError(f"{path} would hold {row} rows, not {rows}")


def _assemble(connection: duckdb.DuckDBPyConnection, month: _Month) -> None:
    """Assemble a large month's file from the parts just written and the row groups of its old file."""
    if month.rows <= _ROW_GROUP_ROWS:
        return
    try:
        parts = [_part(month, part) for part in month.rows_by_part]
        rows = write_parquet_file(month.path, parts)
    except UnknownParquetError:
        if month.reusable is None:
            raise
        # Another version of DuckDB wrote the old file, so none of it is reused.
        rewritten = _Month(month.mart, month.path, month.rows_by_part, None, {}, {})
        _write_drafts(connection, [rewritten])
        _assemble(connection, rewritten)
        return
    if rows != month.rows:
        raise RuntimeError(f"{month.path} would hold {rows} rows, not {month.rows}")
    for draft in month.path.parent.glob(f".{month.path.name}.*.draft"):
        draft.unlink()


def _part(month: _Month, part: DayPart) -> Part:
    if part not in month.reusable_parts:
        file = read_parquet_file(month.draft_of(part))
        return Part(file, range(len(file.row_groups)))
    assert month.reusable is not None
    replacement = read_parquet_file(month.draft_of(part)) if month.changed.get(part) else None
    return Part(month.reusable, month.reusable_parts[part], replacement)

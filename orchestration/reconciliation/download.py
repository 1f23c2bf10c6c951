"""Read a download of the report as people pass it on: a TSV or CSV in any encoding, or a workbook saved by a spreadsheet."""

import codecs
import csv
import io
import re
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from orchestration.errors import StartsError
from orchestration.exports.tsv import ORIGINAL_COLUMNS, TSV_COLUMNS
from orchestration.installation import how_to_install

_HEADER_WITHIN_LINES = 10
# Botmaker separates cells with tabs; spreadsheets in Latin America save CSV with semicolons.
_SEPARATORS = ("\t", ";", ",")
_CELL_END = "\x1f"
# An XLSX file is a ZIP archive. A workbook from before 2007, or with a password, is in Microsoft's older container format.
_ZIP, _OLD_CONTAINER = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"
_DAMAGED_WORKBOOK = (zipfile.BadZipFile, KeyError, ValueError, OSError, EOFError, SyntaxError, zlib.error)


class UnreadableDownloadError(StartsError):
    """The file is not a readable download; the message gives the reason."""


@dataclass(frozen=True)
class Download:
    """The rows of a file: a table of `line_number` (from 1) and `line`, whose cells are separated by `separator`.

    `positions` has the position (from 1) of each column of the original that the file has; `extra` lists headers of neither layout.
    """

    encoding: str
    rows: pa.Table
    separator: str
    positions: dict[str, int]
    extra: list[str]


def read_download(path: Path) -> Download:
    """Read a file. Raises `UnreadableDownloadError` if it is not a download of this report, and `StartsError` without openpyxl."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UnreadableDownloadError(f"{path} cannot be read: {error.strerror}.") from error
    if content.startswith(_OLD_CONTAINER):
        raise UnreadableDownloadError(f"{path} is a workbook in an old format or with a password. Save it as XLSX without a password.")
    found = _from_workbook(path, content) if content.startswith(_ZIP) else _from_text(content)
    if found is None:
        raise UnreadableDownloadError(
            f"{path} is not a download of this report: its first lines have no headers for the session start and a contact or customer, "
            f"such as {ORIGINAL_COLUMNS[2].es!r} and {ORIGINAL_COLUMNS[1].es!r}, separated by tabs, semicolons or commas."
        )
    return found


def _from_text(content: bytes) -> Download | None:
    text, encoding = decoded(content)
    lines = text.replace("\r\n", "\n").split("\n")
    for start, line in enumerate(lines[:_HEADER_WITHIN_LINES]):
        for separator in _SEPARATORS:
            positions, extra = _header([_without_quotes(cell) for cell in line.split(separator)])
            if _has_required_columns(positions):
                return Download(encoding, *_rows(lines, start, separator), positions, extra)
    return None


def decoded(content: bytes) -> tuple[str, str]:
    """Return the text of a file and the name of its encoding: UTF-8, UTF-16 (with or without a byte order mark), or else Windows-1252."""
    if content.startswith(codecs.BOM_UTF8):
        return content.decode("utf-8-sig", errors="replace"), "utf-8-sig"
    for mark in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        if content.startswith(mark):
            return content.decode("utf-16", errors="replace"), "utf-16"
    head = content[:4096]
    # In UTF-16, a Latin letter has a zero byte after it (little-endian) or before it (big-endian).
    for encoding, zeros in (("utf-16-le", head[1::2].count(0)), ("utf-16-be", head[0::2].count(0))):
        if zeros > len(head) // 4:
            return content.decode(encoding, errors="replace"), encoding
    try:
        return content.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace"), "cp1252"


def _without_quotes(cell: str) -> str:
    return cell.strip().strip('"')


def _simplified(header: str) -> str:
    plain = unicodedata.normalize("NFKD", header)
    return re.sub(r"[^a-z0-9]", "", "".join(letter for letter in plain if not unicodedata.combining(letter)).lower())


# Includes the columns that exist only in this project, so that they are not reported as extra.
_NAMES = {_simplified(header): column.name for column in TSV_COLUMNS for header in (column.name, column.pt, column.es)}
HEADERS = frozenset(_NAMES)
_COMPARED = {column.name for column in ORIGINAL_COLUMNS}


def _header(cells: Sequence[str]) -> tuple[dict[str, int], list[str]]:
    """Return the position of each compared column (the first, if it occurs twice), and the unknown headers."""
    positions: dict[str, int] = {}
    extra = []
    for position, cell in enumerate(cells, 1):
        name = _NAMES.get(_simplified(cell))
        if name in _COMPARED:
            positions.setdefault(name, position)
        elif name is None and cell:
            extra.append(cell)
    return positions, extra


def _has_required_columns(positions: dict[str, int]) -> bool:
    return "session_started_at" in positions and bool({"contact_id", "customer_id"} & set(positions))


def _table(rows: list[tuple[int, str]]) -> pa.Table:
    columns = [[number for number, _ in rows], [line for _, line in rows]]
    return pa.table(columns, schema=pa.schema([("line_number", pa.int64()), ("line", pa.string())]))


def _rows(lines: list[str], header: int, separator: str) -> tuple[pa.Table, str]:
    """Return the rows after the header, and the separator of their cells.

    If every line has all its cells, each separator separates two cells, however odd the quotes are. Only a file with quoted line breaks
    or quoted separators is read by the rules for quotes.
    """
    ends, after = lines[header].count(separator), lines[header + 1 :]
    rows = [(number, line) for number, line in enumerate(after, header + 2) if line.strip()]
    if any(line.count(separator) != ends for _, line in rows):
        quoted = _rows_by_quotes(after, ends + 1, separator)
        if quoted:
            return _table([(header + 1 + number, line) for number, line in quoted]), _CELL_END
    return _table(rows), separator


def _rows_by_quotes(lines: list[str], width: int, separator: str) -> list[tuple[int, str]]:
    """Return (last line number, cells separated by `_CELL_END`) of each row, or nothing if this gives no table either."""
    reader = csv.reader(io.StringIO("\n".join(lines), newline=""), delimiter=separator)
    try:
        rows = [(reader.line_num, row) for row in reader if any(row)]
    except csv.Error:
        return []
    if any(len(row) != width for _, row in rows):
        return []
    return [(number, _joined(row)) for number, row in rows]


def _joined(cells: Sequence[str]) -> str:
    return _CELL_END.join(cell.replace(_CELL_END, " ") for cell in cells)


def _from_workbook(path: Path, content: bytes) -> Download | None:
    if find_spec("openpyxl") is None:
        raise StartsError(f"openpyxl, which reads workbooks, is not installed: run {how_to_install('xlsx')}.")
    from openpyxl import load_workbook

    try:
        book = load_workbook(io.BytesIO(content), read_only=True, data_only=True)
        for sheet in book.worksheets:
            # The size of the sheet that a program wrote to the file may be wrong.
            sheet.reset_dimensions()
            lines = _lines_of_sheet(sheet)
            for _, cells in islice(lines, _HEADER_WITHIN_LINES):
                positions, extra = _header([_without_quotes(cell) for cell in cells])
                if _has_required_columns(positions):
                    rows = [(number, _joined(cells)) for number, cells in lines if any(cells)]
                    return Download("xlsx", _table(rows), _CELL_END, positions, extra)
    except _DAMAGED_WORKBOOK as error:
        raise UnreadableDownloadError(
            f"{path} is not a workbook that can be read ({type(error).__name__}). Save it again as XLSX."
        ) from error
    return None


def _lines_of_sheet(sheet: Any) -> Iterator[tuple[int, list[str]]]:
    for number, cells in enumerate(sheet.iter_rows(values_only=True), 1):
        yield number, [cell_text(cell) for cell in cells]


def cell_text(value: object) -> str:
    """Return a cell's value as in a TSV. A number has no exponent, and the digits that the spreadsheet kept."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        # A spreadsheet stores a time as a fraction of a day, so it is rounded to the second.
        return (value + timedelta(milliseconds=500)).strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, date):
        return f"{value:%Y-%m-%d} 00:00:00"
    if isinstance(value, int | float):
        return format(Decimal(repr(value)).normalize(), "f")
    return str(value)

"""The report as XLSX for spreadsheets: ids and phone numbers as text, times as dates in the report's time zone (contract, section 6)."""

from collections.abc import Callable
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import duckdb

from orchestration.errors import StartsError
from orchestration.exports.tsv import Layout, header_of, report_rows
from orchestration.installation import how_to_install
from orchestration.settings import Language, Settings

# Excel's limits: rows of a sheet, including the header, and UTF-16 code units of a cell's text. Its calendar begins in 1900.
MAX_SHEET_ROWS = 1_048_576
_MAX_CELL_UNITS = 32_767
_FIRST_YEAR = 1900
_ROWS_AT_ONCE = 1_000
_TIME_WIDTH = 19

# A string cell is never run as a formula and needs no quotes, so this `text_cell` replaces only control characters.
_TEXT_CELL = "create or replace temp macro text_cell(text) as nullif(one_line(text), '')"


def check_xlsx_can_be_written() -> None:
    """Raise `StartsError` if XlsxWriter is not installed."""
    if find_spec("xlsxwriter") is None:
        raise StartsError(f"XlsxWriter is not installed: run {how_to_install('xlsx')}.")


def write_xlsx(
    published: duckdb.DuckDBPyConnection,
    path: Path,
    settings: Settings,
    where: str,
    parameters: dict[str, object],
    language: Language,
    layout: Layout = Layout.STANDARD,
) -> int:
    """Write the rows of `report_rows` to an XLSX file with one sheet; return the number of rows.

    Rows are streamed, so memory use does not depend on their number. A text that is too long for a cell is cut. A time before 1900, for
    which Excel has no date, is written as text. Raises `StartsError` if there are more rows than a sheet holds.
    """
    from xlsxwriter import Workbook

    published.execute(_TEXT_CELL)
    counted = published.execute(f"select count(*) from fct_session_starts as s where s.is_in_report and {where}", parameters).fetchone()
    assert counted is not None
    _check_row_limit(int(counted[0]))
    columns = header_of(layout, language)
    # XlsxWriter's temporary files are kept beside the file, where an erasure looks, not in the system's temporary folder.
    pieces = path.with_name(f"{path.stem}.pieces.draft")
    pieces.mkdir(mode=0o700)
    try:
        workbook = Workbook(path, {"constant_memory": True, "tmpdir": str(pieces)})
        sheet = workbook.add_worksheet("session starts")
        sheet.freeze_panes(1, 0)
        sheet.set_column(0, len(columns) - 1, _TIME_WIDTH)
        write = _cell_writer(sheet, workbook.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"}))
        for position, (_, header) in enumerate(columns):
            sheet.write_string(0, position, header)
        result = published.execute(report_rows(columns, where, language), {"report_timezone": settings.report_timezone, **parameters})
        written = 0
        while rows := result.fetchmany(_ROWS_AT_ONCE):
            for line, row in enumerate(rows, written + 1):
                for position, value in enumerate(row):
                    write(line, position, value)
            written += len(rows)
        workbook.close()
    finally:
        for piece in pieces.iterdir():
            piece.unlink()
        pieces.rmdir()
    return written


def _check_row_limit(rows: int) -> None:
    if rows + 1 > MAX_SHEET_ROWS:
        raise StartsError(
            f"{rows:,} rows are more than a sheet of an XLSX file holds ({MAX_SHEET_ROWS:,} with the header). Choose a shorter period "
            "or fewer lines, or export a TSV."
        )


def _cell_writer(sheet: Any, date_format: Any) -> Callable[[int, int, Any], None]:
    def write(line: int, position: int, value: Any) -> None:
        if value is None:
            return
        if isinstance(value, bool):
            sheet.write_boolean(line, position, value)
        elif isinstance(value, datetime):
            if value.year < _FIRST_YEAR:
                sheet.write_string(line, position, value.isoformat(" "))
            else:
                sheet.write_datetime(line, position, value, date_format)
        else:
            sheet.write_string(line, position, cut_to_cell(value))

    return write


def cut_to_cell(text: str) -> str:
    """Return a text cut to Excel's limit for a cell: 32,767 UTF-16 code units. An emoji takes two."""
    if len(text) <= _MAX_CELL_UNITS // 2:
        return text
    return text.encode("utf-16-le")[: 2 * _MAX_CELL_UNITS].decode("utf-16-le", errors="ignore")

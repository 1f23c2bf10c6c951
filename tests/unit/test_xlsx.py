"""Tests of exports for spreadsheets: XLSX files by cell types, and TSVs that pandas and Excel read without losing a digit."""

import re
import tracemalloc
from datetime import date, datetime
from pathlib import Path
from typing import Any

import openpyxl
import pandas
import pytest
from pydantic import ValidationError

from orchestration.errors import StartsError
from orchestration.exports import xlsx
from orchestration.exports.filters import ExportSelection
from orchestration.exports.on_demand import export_selection, remove_all_on_demand, remove_old_on_demand
from orchestration.exports.tsv import ORIGINAL_COLUMNS, TSV_COLUMNS
from orchestration.publication.publish import publish
from orchestration.settings import PROJECT_ROOT, Settings
from orchestration.warehouse import open_warehouse
from tests.marts import Warehouse, settings_of, start

DAY = date(2026, 10, 1)
AWKWARD: dict[str, Any] = {
    "customer_id": "00123456789012345678",
    "contact_id": "5511987654321",
    "channel_id": "108234567890101",
    "template_name": "=1+1",
    "agent_groups": 'a "group"\tof two\nlines',
    "failure_detail": "x" * 40_000,
    "chat_link": "https://example.org/#/chats/1",
    "sent_at": datetime(2026, 10, 1, 15, 0, 0, 500_000),
    "delivered_at": datetime(1900, 3, 1, 15),
    "read_at": datetime(1899, 12, 31, 15),
    "replied_at": datetime(2026, 10, 2, 2, 59, 59),
}


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    warehouse = Warehouse(settings_of(tmp_path_factory.mktemp("site")))
    rows = [start(1, DAY, **AWKWARD), start(2, DAY, notification_name="NA", customer_id=None), start(3, DAY)]
    warehouse.publish(warehouse.build({DAY: rows}))
    return warehouse.settings


def sheet(path: Path) -> list[tuple[Any, ...]]:
    book = openpyxl.load_workbook(path)
    assert len(book.worksheets) == 1
    return list(book.worksheets[0].iter_rows())


def test_cells_have_the_expected_types(settings: Settings) -> None:
    path, rows = export_selection(settings, ExportSelection(format="xlsx", file_name="types.xlsx"))
    header, awkward, *others = sheet(path)
    assert rows == len(others) + 1 == 3
    names = [column.name for column in TSV_COLUMNS]
    assert [cell.value for cell in header] == names
    cells = dict(zip(names, awkward, strict=True))
    for name in ("customer_id", "contact_id", "channel_id", "chat_link"):
        assert (cells[name].value, cells[name].data_type) == (AWKWARD[name], "s"), name
        assert cells[name].hyperlink is None
    # A text, not a formula, and without the apostrophe that a TSV needs.
    assert (cells["template_or_notification_name"].value, cells["template_or_notification_name"].data_type) == ("=1+1", "s")
    assert cells["agent_groups"].value == 'a "group" of two lines'
    assert cells["failure_detail"].value == "x" * 32_767
    assert (cells["sent_at"].value, cells["sent_at"].number_format) == (datetime(2026, 10, 1, 12), "yyyy-mm-dd hh:mm:ss")
    assert cells["replied_at"].value == datetime(2026, 10, 1, 23, 59, 59)
    assert cells["read_at"].value.startswith("1899-12-31")
    assert cells["delivered_at"].value.year == 1900
    assert (cells["is_new_user"].value, cells["is_read"].value) == (True, False)
    assert cells["is_new_user"].data_type == "b"
    assert cells["failure_reason"].value is None


def test_headers_follow_the_language_and_layout(settings: Settings) -> None:
    path, _ = export_selection(settings, ExportSelection(format="xlsx", layout="botmaker"))
    assert path.suffix == ".xlsx"
    assert [cell.value for cell in sheet(path)[0]] == [column.es for column in ORIGINAL_COLUMNS]
    path, _ = export_selection(settings, ExportSelection(format="xlsx", language="pt", templates=["NA"], file_name="pt.xlsx"))
    header, *rows = sheet(path)
    assert [cell.value for cell in header] == [column.pt for column in TSV_COLUMNS]
    assert [row[5].value for row in rows] == ["NA"]


def test_empty_selection_is_only_a_header(settings: Settings) -> None:
    path, rows = export_selection(settings, ExportSelection(format="xlsx", user_types=["returning"], file_name="none.xlsx"))
    assert rows == 0
    assert len(sheet(path)) == 1


def test_emoji_counts_as_two_units_and_is_not_split() -> None:
    assert xlsx.cut_to_cell("ab" * 10) == "ab" * 10
    assert xlsx.cut_to_cell("😀" * 20_000) == "😀" * 16_383
    assert xlsx.cut_to_cell("é" * 32_767) == "é" * 32_767


def test_more_rows_than_a_sheet_allows_are_refused(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    before = sorted((settings.exports_dir / "on_demand").glob("*"))
    assert xlsx.MAX_SHEET_ROWS == 2**20
    monkeypatch.setattr(xlsx, "MAX_SHEET_ROWS", 3)
    with pytest.raises(StartsError, match=r"3 rows are more than a sheet .* holds \(3 with the header\)"):
        export_selection(settings, ExportSelection(format="xlsx", file_name="much.xlsx"))
    assert sorted((settings.exports_dir / "on_demand").glob("*")) == before
    monkeypatch.setattr(xlsx, "MAX_SHEET_ROWS", 4)
    assert export_selection(settings, ExportSelection(format="xlsx", file_name="just.xlsx"))[1] == 3


@pytest.mark.thorough
def test_memory_does_not_grow_with_the_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xlsx, "_ROWS_AT_ONCE", 50)
    peaks = []
    # The first one also loads the library.
    for rows in (1, 400, 1_600):
        settings = settings_of(tmp_path / str(rows))
        warehouse = Warehouse(settings)
        build = warehouse.build({DAY: [start(1, DAY)]})
        with open_warehouse(settings) as connection:
            connection.execute(
                "insert into marts.fct_notifications select * exclude (i) replace (i::varchar as session_start_id) "
                f"from marts.fct_notifications, range({rows}) as more (i)"
            )
            publish(connection, settings, build)
        tracemalloc.start()
        export_selection(settings, ExportSelection(format="xlsx", file_name="many.xlsx"))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] < 1.3 * peaks[1]


def test_missing_library_is_reported(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xlsx, "find_spec", lambda _: None)
    with pytest.raises(StartsError, match="--extra xlsx"):
        export_selection(settings, ExportSelection(format="xlsx"))


def test_xlsx_exports_and_their_drafts_are_removed_with_the_others(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    warehouse = Warehouse(settings)
    warehouse.publish(warehouse.build({DAY: [start(1, DAY)]}))
    folder = settings.exports_dir / "on_demand"
    for remove in (remove_all_on_demand, lambda settings: remove_old_on_demand(settings, date(9999, 1, 1))):
        export_selection(settings, ExportSelection(format="xlsx", file_name="mine.xlsx"))
        assert [path.name for path in folder.iterdir()] == ["mine.xlsx"]
        assert remove(settings) == ["mine.xlsx"]
    pieces = folder / ".mine.xlsx.0123.pieces.draft"
    pieces.mkdir()
    (pieces / "rows").write_text("5511987654321")
    assert remove_all_on_demand(settings) == []
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"format": "xls"}, "'xls' is not one of tsv, xlsx"),
        ({"format": "xlsx", "file_name": "mine.tsv"}, "the extension .xlsx"),
        ({"file_name": "mine.xlsx"}, "the extension .tsv"),
        ({"format": "xlsx", "file_name": "../mine.xlsx"}, "is not a valid file name"),
        ({"format": "xlsx", "bom": True}, "a byte order mark is only for the format tsv"),
    ],
)
def test_invalid_format_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(said)):
        ExportSelection(**fields)


def test_byte_order_mark_is_the_only_difference(settings: Settings) -> None:
    plain, _ = export_selection(settings, ExportSelection(file_name="plain.tsv"))
    marked, _ = export_selection(settings, ExportSelection(bom=True, file_name="marked.tsv"))
    assert marked.read_bytes() == b"\xef\xbb\xbf" + plain.read_bytes()


def test_documented_pandas_line_preserves_ids(settings: Settings) -> None:
    (line,) = re.findall(r"```python\n(pandas\.read_csv\(.*\))\n```", (PROJECT_ROOT / "docs" / "exports.md").read_text(encoding="utf-8"))
    path, _ = export_selection(settings, ExportSelection(file_name="pandas.tsv"))
    frame = eval(line, {"pandas": pandas, "path": path})  # the line as users copy it
    assert frame["customer_id"].tolist() == [AWKWARD["customer_id"], pandas.NA, pandas.NA]
    assert frame["contact_id"].tolist() == ["5511987654321", "5511900000002", "5511900000003"]
    assert frame["template_or_notification_name"].tolist() == ["'=1+1", "NA", "welcome"]

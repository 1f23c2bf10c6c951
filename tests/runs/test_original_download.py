"""Tests of the original download: exports in its layout, and its files compared with what is published.

Every damage to a file is reported with its cause, and no other difference is reported.
"""

import csv
import io
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import openpyxl
import pytest
from pydantic import ValidationError

from orchestration.cli.main import main
from orchestration.errors import StartsError
from orchestration.exports.filters import ExportSelection, ReportFilters
from orchestration.exports.on_demand import export_selection
from orchestration.exports.tsv import ORIGINAL_COLUMNS
from orchestration.reconciliation.compare import Cause, Comparison, compare_download
from orchestration.reconciliation.download import UnreadableDownloadError, cell_text, decoded
from tests.data.hostile_logs import hostile_records, write_files
from tests.marts import Warehouse, settings_of, start
from tests.pipeline import Pipeline
from tests.tiers import thorough

Table = list[list[str]]
# The contract's table, written a second time.
ORIGINAL_HEADER = [
    *("Id Usuario", "Id Contacto/Número", "Fecha/tiempo Inicio Sesión", "Id canal", "Usuario Nuevo", "Nombre Plantilla/Notificación"),
    *("No Enviado", "Enviado", "Entregado", "Leída", "Respondida", "Razón Falla Envío", "Detalle Falla Envío"),
    *("Fecha/tiempo Envío", "Fecha/tiempo Entrega", "Fecha/hora de lectura", "Fecha/tiempo Respuesta", "Grupos Agente"),
]
PERIOD: dict[str, Any] = {"period_from": "2026-10-05", "period_to": "2026-10-11"}


@pytest.fixture(scope="module")
def exported(sample: Pipeline) -> bytes:
    """Return a week of the sample, in Botmaker's format."""
    path, _ = export_selection(sample.settings, ExportSelection(layout="botmaker", file_name="week.tsv", **PERIOD))
    return path.read_bytes()


@pytest.fixture
def compared(sample: Pipeline, exported: bytes, tmp_path: Path) -> Callable[..., Comparison]:
    """Return a function that compares the exported week after damage to its table or bytes."""

    def compare(damage: Callable[[Table], object] | None = None, content: bytes | None = None) -> Comparison:
        table = read(exported)
        if damage:
            damage(table)
        path = tmp_path / "download.tsv"
        path.write_bytes(content if content is not None else written(table))
        return compare_download(sample.settings, path)

    return compare


def between(first: str, last: str) -> ReportFilters:
    return ReportFilters(period_from=first, period_to=last)


def read(content: bytes) -> Table:
    return list(csv.reader(io.StringIO(content.decode(), newline=""), delimiter="\t", strict=True))


def written(table: Table, quoting: Any = csv.QUOTE_MINIMAL) -> bytes:
    out = io.StringIO()
    csv.writer(out, delimiter="\t", lineterminator="\n", quoting=quoting).writerows(table)
    return out.getvalue().encode()


def causes(comparison: Comparison) -> dict[tuple[Cause, str | None], int]:
    return {(difference.cause, difference.column): difference.rows for difference in comparison.differences}


def column(table: Table, header: str) -> int:
    return table[0].index(header)


def test_layout_equals_that_of_the_original(sample: Pipeline) -> None:
    path, rows = export_selection(sample.settings, ExportSelection(layout="botmaker", **PERIOD))
    assert re.fullmatch(r"sessionStartingCauses-\d{4}\.\d{2}\.\d{2}-\d{2}\.\d{2}\.tsv", path.name)
    named_at = datetime.strptime(path.name, "sessionStartingCauses-%Y.%m.%d-%H.%M.tsv").replace(tzinfo=ZoneInfo("America/Sao_Paulo"))
    assert 0 <= (datetime.now(UTC) - named_at).total_seconds() < 120
    header, *lines = read(path.read_bytes())
    assert header == ORIGINAL_HEADER
    assert len(lines) == rows > 300
    standard, _ = export_selection(sample.settings, ExportSelection(language="es", file_name="standard.tsv", **PERIOD))
    assert lines == [row[:18] for row in read(standard.read_bytes())[1:]]
    assert {row[11] for row in lines} >= {"El destinatario no puede recibir el mensaje"}


def test_layout_keeps_its_headers_in_another_language(sample: Pipeline) -> None:
    selection = ExportSelection(layout="botmaker", language="en", file_name="english.tsv", **PERIOD)
    path, _ = export_selection(sample.settings, selection)
    header, *lines = read(path.read_bytes())
    assert header == ORIGINAL_HEADER
    assert {row[11] for row in lines} >= {"The recipient cannot receive the message"}


def test_default_layout_is_used_and_an_unknown_one_refused() -> None:
    assert ExportSelection().layout == "standard"
    with pytest.raises(ValidationError):
        ExportSelection(layout="original")


def test_own_export_is_equal(compared: Callable[..., Comparison]) -> None:
    comparison = compared()
    assert comparison.differences == []
    assert comparison.rows_there == comparison.rows_here == comparison.rows_equal > 300
    assert comparison.period == (date(2026, 10, 5), date(2026, 10, 11))


@pytest.mark.parametrize("selection", [{}, {"language": "pt"}, {"language": "es"}, {"layout": "botmaker", "language": "en"}])
def test_every_language_and_layout_is_equal(sample: Pipeline, selection: dict[str, Any]) -> None:
    path, rows = export_selection(sample.settings, ExportSelection(file_name="all.tsv", **selection))
    comparison = compare_download(sample.settings, path)
    assert (comparison.differences, comparison.rows_equal) == ([], rows)
    assert comparison.columns_extra == comparison.columns_absent == []


def _reencoded(content: bytes, encoding: str) -> bytes:
    return content.decode().encode(encoding)


@pytest.mark.parametrize(
    ("encoding", "name"),
    [
        *(("utf-8", "utf-8"), ("utf-8-sig", "utf-8-sig"), ("cp1252", "cp1252"), ("utf-16", "utf-16")),
        *(("utf-16-le", "utf-16-le"), ("utf-16-be", "utf-16-be")),
    ],
)
@pytest.mark.sampled(2)
def test_download_in_another_encoding_is_equal(compared: Callable[..., Comparison], exported: bytes, encoding: str, name: str) -> None:
    comparison = compared(content=_reencoded(exported, encoding))
    assert comparison.differences == []
    assert comparison.encoding == name


def test_byte_order_mark_is_not_part_of_the_first_header() -> None:
    assert decoded("\ufeffId".encode()) == ("Id", "utf-8-sig")
    assert decoded("Número".encode("cp1252")) == ("Número", "cp1252")


def _every(table: Table, columns: range, change: Callable[[str], str]) -> None:
    for row in table[1:]:
        for index in columns:
            row[index] = change(row[index])


def _minutes(time: str) -> str:
    return time[:16]


def _spreadsheet_time(time: str) -> str:
    return f"{time[8:10]}/{time[5:7]}/{time[:4]} {time[11:]}" if time else ""


def _plain_spreadsheet_time(time: str) -> str:
    return f"{int(time[8:10])}/{int(time[5:7])}/{time[:4]} {int(time[11:13])}:{time[14:16]}" if time else ""


def _twelve_hour_time(time: str) -> str:
    hour = int(time[11:13] or 0)
    return f"{time[8:10]}/{time[5:7]}/{time[:4]} {hour % 12 or 12:02}{time[13:]} {'a' if hour < 12 else 'p'}.\u00a0m." if time else ""


HARMLESS = {
    "CRLF": lambda table: [row.append("") for row in table],
    "second header": lambda table: table.insert(1, list(table[0])),
    "header again in the middle": lambda table: table.insert(100, list(table[0])),
    "second header in English": lambda table: table.insert(1, ["customer_id", "contact_id", "session_started_at"] + [""] * 15),
    "title line": lambda table: table.insert(0, ["Métricas de inicio de conversación"] + [""] * 17),
    "columns the other way round": lambda table: [row.reverse() for row in table],
    "extra columns": lambda table: [row.insert(3, "Notas" if n == 0 else "x") for n, row in enumerate(table)],
    "no agent groups": lambda table: [row.pop() for row in table],
    "rows the other way round": lambda table: table[1:].reverse() or table.__setitem__(slice(1, None), table[:0:-1]),
    "blank lines": lambda table: table.extend([[""] * 18, [""] * 18]),
    "Sí and No": lambda table: _every(table, range(4, 11), lambda cell: {"true": "Sí", "false": "No"}.get(cell, cell)),
    "SI and NO": lambda table: _every(table, range(6, 11), lambda cell: {"true": "SI", "false": "NO"}.get(cell, cell)),
    "1 and 0": lambda table: _every(table, range(6, 11), lambda cell: {"true": "1", "false": "0"}.get(cell, cell)),
    "X and nothing": lambda table: _every(table, range(6, 11), lambda cell: {"true": "X", "false": ""}.get(cell, cell)),
    "TRUE and FALSE": lambda table: _every(table, range(6, 11), str.upper),
    "VERDADERO": lambda table: _every(table, range(6, 11), lambda cell: {"true": "VERDADERO", "false": "FALSO"}.get(cell, cell)),
    "no seconds": lambda table: _every(table, range(13, 17), _minutes) or _every(table, range(2, 3), _minutes),
    "DD/MM/YYYY": lambda table: _every(table, range(13, 17), _spreadsheet_time) or _every(table, range(2, 3), _spreadsheet_time),
    "D/M/YYYY without seconds": lambda table: (
        _every(table, range(13, 17), _plain_spreadsheet_time) or _every(table, range(2, 3), _plain_spreadsheet_time)
    ),
    "a. m. and p. m.": lambda table: _every(table, range(13, 17), _twelve_hour_time) or _every(table, range(2, 3), _twelve_hour_time),
    "ISO with an offset": lambda table: _every(table, range(13, 17), lambda time: time and time.replace(" ", "T") + "-03:00"),
    "milliseconds": lambda table: _every(table, range(13, 17), lambda time: time and time + ".123"),
    "a plus before the number": lambda table: _every(table, range(1, 2), lambda cell: f"+{cell}" if cell.isdigit() else cell),
    "spaces around": lambda table: _every(table, range(0, 18), lambda cell: f" {cell} "),
}


@pytest.mark.parametrize("harmless", HARMLESS)
@pytest.mark.sampled(4)
def test_another_spelling_is_not_a_difference(compared: Callable[..., Comparison], harmless: str) -> None:
    comparison = compared(HARMLESS[harmless])
    assert comparison.differences == []
    assert comparison.rows_equal == comparison.rows_here > 300


def test_line_ends_and_quotes_are_not_a_difference(compared: Callable[..., Comparison], exported: bytes) -> None:
    table = read(exported)
    assert compared(content=exported.replace(b"\n", b"\r\n")).is_equal
    assert compared(content=exported.rstrip(b"\n")).is_equal
    assert compared(content=written(table, csv.QUOTE_ALL)).is_equal
    assert compared(content="\n".join("\t".join(row).rstrip("\t") for row in table).encode()).is_equal


def test_columns_that_only_one_side_has_are_listed(compared: Callable[..., Comparison]) -> None:
    def damage(table: Table) -> None:
        for number, row in enumerate(table):
            row[17] = "Notas" if number == 0 else "x"

    comparison = compared(damage)
    assert comparison.is_equal
    assert comparison.columns_absent == ["agent_groups"]
    assert comparison.columns_extra == ["Notas"]


@pytest.mark.parametrize("field", range(5, 18))
@pytest.mark.sampled(4)
def test_changed_cell_is_found_in_its_column(compared: Callable[..., Comparison], field: int) -> None:
    def damage(table: Table) -> None:
        for row in table[50:53]:
            row[field] = {"true": "false", "false": "true"}.get(row[field], "2026-10-06 01:02:03" if 13 <= field <= 16 else "other")

    comparison = compared(damage)
    assert causes(comparison) == {(Cause.DIFFERS, ORIGINAL_COLUMNS[field].name): 3}
    (difference,) = comparison.differences
    assert len(difference.examples) == 3
    assert "there '" in difference.examples[0]
    assert "(line 51)" in difference.examples[0]


def test_lost_cell_is_found(compared: Callable[..., Comparison]) -> None:
    def damage(table: Table) -> None:
        table[10][column(table, "Fecha/tiempo Envío")] = ""

    assert causes(compared(damage)) == {(Cause.DIFFERS, "sent_at"): 1}


def test_unreadable_cell_is_a_difference_and_not_a_crash(compared: Callable[..., Comparison]) -> None:
    def damage(table: Table) -> None:
        table[10][column(table, "Fecha/tiempo Envío")] = "#####"
        table[11][column(table, "Enviado")] = "maybe"

    comparison = compared(damage)
    assert causes(comparison) == {(Cause.DIFFERS, "sent_at"): 1, (Cause.DIFFERS, "is_sent"): 1}
    assert "'#####'" in comparison.differences[1].examples[0]


def test_rows_missing_on_either_side_are_found(compared: Callable[..., Comparison]) -> None:
    def damage(table: Table) -> None:
        del table[20:24]
        unknown = list(table[30])
        unknown[0], unknown[1] = "C-UNKNOWN", "5511900009999"
        table.append(unknown)

    comparison = compared(damage)
    assert causes(comparison) == {(Cause.MISSING_HERE, None): 1, (Cause.MISSING_THERE, None): 4}
    missing_here = comparison.differences[0]
    assert missing_here.examples[0].startswith("5511900009999 at 2026-10-")


def test_repeated_row_is_missing_here_once(compared: Callable[..., Comparison]) -> None:
    assert causes(compared(lambda table: table.append(list(table[40])))) == {(Cause.MISSING_HERE, None): 1}


def test_other_contact_or_channel_is_found_through_the_customer(compared: Callable[..., Comparison]) -> None:
    def damage(table: Table) -> None:
        sent = [row for row in table[1:] if row[0]]
        sent[10][1] = "5511000"
        sent[20][3] = "another"

    assert causes(compared(damage)) == {(Cause.DIFFERS, "contact_id"): 1, (Cause.DIFFERS, "channel_id"): 1}


def test_unreadable_session_start_is_found(compared: Callable[..., Comparison]) -> None:
    def damage(table: Table) -> None:
        table[10][2] = "yesterday"

    comparison = compared(damage)
    assert causes(comparison) == {(Cause.UNREADABLE, None): 1, (Cause.MISSING_THERE, None): 1}


@pytest.mark.thorough
def test_comparison_covers_only_the_given_period(sample: Pipeline, exported: bytes, tmp_path: Path) -> None:
    path = tmp_path / "week.tsv"
    path.write_bytes(exported)
    narrower = compare_download(sample.settings, path, between("2026-10-06", "2026-10-07"))
    assert narrower.is_equal
    assert narrower.rows_outside > 0
    wider = compare_download(sample.settings, path, between("2026-10-04", "2026-10-11"))
    assert {cause for cause, _ in causes(wider)} == {Cause.MISSING_THERE}
    with pytest.raises(StartsError, match="before it starts"):
        compare_download(sample.settings, path, ReportFilters(period_from="2026-10-12"))
    path.write_bytes(exported.split(b"\n", 1)[0] + b"\n")
    with pytest.raises(UnreadableDownloadError, match="--from"):
        compare_download(sample.settings, path)
    empty = compare_download(sample.settings, path, between("2026-10-05", "2026-10-11"))
    assert causes(empty) == {(Cause.MISSING_THERE, None): empty.rows_here}


@pytest.mark.parametrize("seed", [1, *thorough(2)])
@pytest.mark.thorough
def test_hostile_values_are_equal_to_themselves(warm: Callable[..., Pipeline], seed: int) -> None:
    run = warm(STARTS_MAX_REJECTED_SHARE="1")
    sends, webhooks = hostile_records(seed)
    write_files(run.landing, "sends", "1.jsonl", sends)
    write_files(run.landing, "webhooks", "1.jsonl", webhooks)
    assert run.run().success
    path, rows = export_selection(run.settings, ExportSelection(layout="botmaker", file_name="all.tsv"))
    comparison = compare_download(run.settings, path)
    assert (comparison.differences, comparison.rows_equal) == ([], rows)
    # A platform that does not clean its cells: raw quotes, and line breaks in quoted cells.
    with path.open(encoding="utf-8", newline="") as file:
        table = list(csv.reader(file, delimiter="\t", strict=True))
    path.write_text("".join("\t".join(row) + "\n" for row in table), encoding="utf-8")
    assert compare_download(run.settings, path).is_equal
    for row in table[1:]:
        row[5] = row[5].replace("Black Friday", "Black\nFriday").replace("tab here", "tab\there")
    path.write_bytes(written(table))
    assert compare_download(run.settings, path).is_equal
    # Each removed row is found, however similar its neighbours are.
    for number in range(1, len(table), 23):
        path.write_bytes(written(table[:number] + table[number + 1 :]))
        comparison = compare_download(run.settings, path, between("0001-01-01", "9999-12-31"))
        assert causes(comparison) == {(Cause.MISSING_THERE, None): 1}


def csv_of(table: Table, separator: str) -> bytes:
    out = io.StringIO()
    csv.writer(out, delimiter=separator, lineterminator="\r\n").writerows(table)
    return out.getvalue().encode("cp1252")


def workbook_of(table: Table, convert: Callable[[int, str], object] = lambda _, cell: cell) -> bytes:
    """Return a workbook with an empty sheet, then a title line and a table whose cells are converted by column."""
    book = openpyxl.Workbook()
    sheet = book.create_sheet("download")
    sheet.append(["Métricas de inicio de conversación"])
    sheet.append(table[0])
    for row in table[1:]:
        sheet.append([convert(position, cell) for position, cell in enumerate(row)])
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()


def as_a_spreadsheet_keeps_it(position: int, cell: str) -> object:
    if not cell:
        return None
    if cell.isdigit():
        return float(cell)
    if cell in ("true", "false"):
        return cell == "true"
    return datetime.fromisoformat(cell) if position in (2, 13, 14, 15, 16) else cell


@pytest.mark.thorough
@pytest.mark.parametrize("separator", [";", ","])
def test_csv_of_a_spreadsheet_is_equal(compared: Callable[..., Comparison], exported: bytes, separator: str) -> None:
    table = read(exported)
    _every(table, range(13, 17), _spreadsheet_time)
    _every(table, range(2, 3), _spreadsheet_time)
    _every(table, range(4, 11), lambda cell: {"true": "VERDADERO", "false": "FALSO"}.get(cell, cell))
    comparison = compared(content=csv_of(table, separator))
    assert (comparison.differences, comparison.damage) == ([], [])
    assert comparison.rows_equal == comparison.rows_here > 300
    # A name that contains separators is quoted, and Excel may state its separator in the first line.
    for row in table[1:20]:
        row[5] = f"a{separator}b"
    comparison = compared(content=f"sep={separator}\r\n".encode() + csv_of(table, separator))
    assert causes(comparison) == {(Cause.DIFFERS, "template_or_notification_name"): 19}


@pytest.mark.thorough
def test_workbook_is_equal(compared: Callable[..., Comparison], exported: bytes, sample: Pipeline, tmp_path: Path) -> None:
    comparison = compared(content=workbook_of(read(exported), as_a_spreadsheet_keeps_it))
    assert (comparison.differences, comparison.damage, comparison.encoding) == ([], [], "xlsx")
    assert comparison.rows_equal == comparison.rows_here > 300
    path, rows = export_selection(sample.settings, ExportSelection(format="xlsx", language="pt", file_name="own.xlsx", **PERIOD))
    comparison = compare_download(sample.settings, path)
    assert (comparison.differences, comparison.rows_equal) == ([], rows)
    table = read(exported)
    table[40][column(table, "Leída")] = {"true": "false", "false": "true"}[table[40][column(table, "Leída")]]
    comparison = compared(content=workbook_of(table))
    assert causes(comparison) == {(Cause.DIFFERS, "is_read"): 1}
    # The row number of the sheet, including its title.
    assert "(line 42)" in comparison.differences[0].examples[0]


def test_cells_of_a_workbook_keep_their_stored_digits() -> None:
    values = (
        5511987654321.0,
        1.23456789012346e18,
        131049,
        True,
        None,
        "+55 11",
        datetime(2026, 10, 5, 12, 0, 59, 999_999),
        date(2026, 10, 5),
    )
    assert [cell_text(value) for value in values] == [
        *("5511987654321", "1234567890123460000", "131049", "true", "", "+55 11", "2026-10-05 12:01:00", "2026-10-05 00:00:00"),
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"PK\x03\x04 no archive", "is not a workbook that can be read"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "Save it as XLSX without a password"),
        (workbook_of([["a", "b"], ["1", "2"]]), "is not a download of this report"),
    ],
)
def test_unreadable_workbook_is_explained(sample: Pipeline, tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "download.xlsx"
    path.write_bytes(content)
    with pytest.raises(UnreadableDownloadError, match=said):
        compare_download(sample.settings, path)


def test_spellings_of_one_number_are_equal(compared: Callable[..., Comparison]) -> None:
    """Cover Brazil's ninth digit (contract, 2.1): Botmaker may use the short form for an account."""

    def short(contact: str) -> str:
        return f"+{contact[:4]} {contact[5:]}" if re.fullmatch(r"55\d\d9[6-9]\d{7}", contact) else contact

    def damage(table: Table) -> None:
        assert any(short(row[1]) != row[1] for row in table[1:])
        _every(table, range(1, 2), short)

    comparison = compared(damage)
    assert comparison.differences == []
    assert comparison.rows_equal > 300


FILTERS: list[dict[str, Any]] = [
    {"origins": ["mass_notification"]},
    {"lines": ["+54 11 5278-0101"]},
    {"lines": ["+54 11 5278-0101"], "user_types": ["new"]},
    {"templates": []},
]


@pytest.mark.thorough
@pytest.mark.parametrize("filters", FILTERS)
def test_filters_equal_those_of_the_export(sample: Pipeline, exported: bytes, tmp_path: Path, filters: dict[str, Any]) -> None:
    """Compare a download of the filtered report and one of the whole report: both equal what is published for the filters."""
    if "templates" in filters:
        filters = {"templates": [min(row["template_name"] for row in sample.rows("fct_session_starts") if row["template_name"])]}
    selection = ExportSelection(layout="botmaker", file_name="filtered.tsv", **PERIOD, **filters)
    path, rows = export_selection(sample.settings, selection)
    chosen = ReportFilters(**filters, **PERIOD)
    filtered = compare_download(sample.settings, path, chosen)
    assert (filtered.differences, filtered.rows_equal, filtered.rows_filtered) == ([], rows, 0)
    whole = tmp_path / "whole.tsv"
    whole.write_bytes(exported)
    comparison = compare_download(sample.settings, whole, chosen)
    assert (comparison.differences, comparison.rows_equal) == ([], rows)
    assert comparison.rows_filtered == exported.count(b"\n") - 1 - rows > 0
    # A row that is missing in the file is reported whatever else the file contains.
    table = read(path.read_bytes())
    whole.write_bytes(written([row for row in read(exported) if row != table[1]]))
    assert causes(compare_download(sample.settings, whole, chosen)) == {(Cause.MISSING_THERE, None): 1}


def test_unknown_line_is_refused(sample: Pipeline, exported: bytes, tmp_path: Path) -> None:
    path = tmp_path / "week.tsv"
    path.write_bytes(exported)
    with pytest.raises(StartsError, match="There is no line '12345'"):
        compare_download(sample.settings, path, ReportFilters(lines=["12345"]))


def test_every_difference_is_written_on_request(
    sample: Pipeline, exported: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STARTS_DATA", str(sample.data))
    table = read(exported)
    for row in table[1:9]:
        row[5] = "=another"
    del table[100:102]
    path, all_to = tmp_path / "week.tsv", tmp_path / "all.tsv"
    path.write_bytes(written(table))
    assert main(["compare", str(path), "--all", str(all_to)]) == 1
    out = capsys.readouterr().out
    assert "… and 5 more" in out
    assert f"every difference is in {all_to}" in out
    header, *rows = read(all_to.read_bytes())
    assert header == ["cause", "column_name", "line", "contact_id", "customer_id", "session_started_at", "channel_id", "there", "here"]
    assert [row[:2] for row in rows] == [["missing there", ""]] * 2 + [["differs", "template_or_notification_name"]] * 8
    # A row that the file lacks is on no line of it.
    assert [row[2] for row in rows] == ["", "", *(str(line) for line in range(2, 10))]
    # A cell that a spreadsheet would run as a formula is escaped.
    assert {row[7] for row in rows[2:]} == {"'=another"}
    assert all_to.stat().st_mode & 0o077 == 0
    path.write_bytes(exported)
    assert main(["compare", str(path), "--all", str(all_to)]) == 0
    assert len(read(all_to.read_bytes())) == 1
    assert main(["compare", str(path), "--all", str(tmp_path / "nowhere" / "all.tsv")]) == 2
    assert "There is no folder" in capsys.readouterr().err
    assert main(["compare", str(path), "--all", str(tmp_path / ".." / tmp_path.name / "week.tsv")]) == 2
    assert "week.tsv is the download itself" in capsys.readouterr().err
    assert path.read_bytes() == exported
    assert sorted(file.name for file in tmp_path.iterdir()) == ["all.tsv", "week.tsv"]


def _in_scientific_notation(cell: str) -> str:
    return f"{float(cell):.5E}".replace(".", ",") if cell.isdigit() else cell


def test_ids_that_a_spreadsheet_damaged_are_reported(compared: Callable[..., Comparison]) -> None:
    comparison = compared(lambda table: _every(table, range(1, 2), _in_scientific_notation))
    (damage,) = comparison.damage
    assert re.match(r"A spreadsheet destroyed contact_id in \d{3} rows: it wrote a number such as 5,51199E\+12", damage)
    assert not comparison.is_equal


def test_digits_after_the_fifteenth_that_became_zeros_are_reported(tmp_path: Path) -> None:
    settings, day = settings_of(tmp_path), date(2026, 10, 5)
    customers = ("12345678901234567", "12345678901234599", "98765432109876000", "7")
    warehouse = Warehouse(settings)
    warehouse.publish(warehouse.build({day: [start(n, day, customer_id=customer) for n, customer in enumerate(customers)]}))
    path, _ = export_selection(settings, ExportSelection(layout="botmaker", file_name="all.tsv"))
    assert compare_download(settings, path).damage == []
    table = read(path.read_bytes())
    _every(table, range(0, 1), lambda cell: cell[:15] + "0" * len(cell[15:]))
    path.write_bytes(written(table))
    (damage,) = compare_download(settings, path).damage
    # An id that really ends in zeros is not counted.
    assert damage.startswith("A spreadsheet destroyed customer_id in 2 rows: it kept 15 digits")


@pytest.mark.parametrize(("minutes", "said"), [(180, "3:00 h later"), (-330, "5:30 h earlier")])
def test_shifted_times_are_reported(compared: Callable[..., Comparison], minutes: int, said: str) -> None:
    def shifted(time: str) -> str:
        return time and str(datetime.fromisoformat(time) + timedelta(minutes=minutes))

    comparison = compared(lambda table: _every(table, range(13, 17), shifted) or _every(table, range(2, 3), shifted))
    (damage,) = comparison.damage
    assert re.search(rf"The times of \d{{3}} rows are {said} than here", damage)


def test_irregular_times_are_not_reported_as_a_shift(compared: Callable[..., Comparison]) -> None:
    def damage(table: Table) -> None:
        for n, row in enumerate(table[1:]):
            row[2] = str(datetime.fromisoformat(row[2]) + timedelta(minutes=60 if n % 3 == 0 else 7 * (n % 5)))

    assert compared(damage).damage == []


@pytest.mark.thorough
def test_masked_contacts_cannot_be_compared(warm: Callable[..., Pipeline], exported: bytes, tmp_path: Path) -> None:
    run = warm(STARTS_CONTACTS="masked", STARTS_MASK_KEY="a secret")
    sends, _ = hostile_records(1)
    write_files(run.landing, "sends", "1.jsonl", sends[:20])
    assert run.run().success
    path = tmp_path / "week.tsv"
    path.write_bytes(exported)
    with pytest.raises(StartsError, match="STARTS_CONTACTS=plain"):
        compare_download(run.settings, path)


@pytest.mark.thorough
def test_command_has_the_expected_exit_code(
    sample: Pipeline, exported: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STARTS_DATA", str(sample.data))
    path = tmp_path / "week.tsv"
    path.write_bytes(exported)
    assert main(["compare", str(path)]) == 0
    assert "compared 2026-10-05 to 2026-10-11" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["orchestration", "compare", str(path), "--from", "2026-10-04"])
    assert main() == 1
    assert "missing there: " in capsys.readouterr().out
    assert main(["compare", str(tmp_path / "nowhere.tsv")]) == 2
    for content in (b"", b"\x00\x01\x02" * 100, b"a,b,c\n1,2,3\n", "Id Usuario|Fecha/tiempo Inicio Sesión\n".encode()):
        path.write_bytes(content)
        assert main(["compare", str(path)]) == 2
        assert "is not a download of this report" in capsys.readouterr().err
    path.write_bytes(exported)
    assert main(["compare", str(path), "--from", "2026-10-12", "--to", "2026-10-01"]) == 2
    capsys.readouterr()
    assert main(["compare", str(path), "--from", "2020-01-01", "--to", "2020-01-31"]) == 2
    assert "Neither the file nor the published report has a row from 2020-01-01 to 2020-01-31" in capsys.readouterr().err
    assert main(["compare", str(path), "--from", "2026-13-01"]) == 2
    assert "--from: '2026-13-01' is not a day: write it like 2026-10-01" in capsys.readouterr().err
    monkeypatch.setenv("STARTS_DATA", str(tmp_path / "nothing"))
    assert main(["compare", str(path)]) == 2
    assert "Nothing is published yet" in capsys.readouterr().err


def test_published_file_is_only_read(sample: Pipeline, exported: bytes, tmp_path: Path) -> None:
    before = sample.settings.published_database.read_bytes()
    path = tmp_path / "week.tsv"
    path.write_bytes(exported)
    with duckdb.connect(str(sample.settings.published_database), read_only=True):
        compare_download(sample.settings, path)
    assert sample.settings.published_database.read_bytes() == before

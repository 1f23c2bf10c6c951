"""The original download: exports in its layout, and its files compared with what is published.

Every damage to a file is found by its cause, and none is invented.
"""

import csv
import io
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pytest
from pydantic import ValidationError

from orchestration.cli.main import main
from orchestration.errors import StartsError
from orchestration.exports.filters import ExportSelection
from orchestration.exports.on_demand import export_selection
from orchestration.reconciliation.compare import Cause, Comparison, UnreadableDownloadError, compare_download, decoded
from tests.data.hostile_logs import hostile_records, write_files
from tests.pipeline import Pipeline

Table = list[list[str]]
# The contract's table, written out a second time.
ORIGINAL_HEADER = [
    *("Id Usuario", "Id Contacto/Número", "Fecha/tiempo Inicio Sesión", "Id canal", "Usuario Nuevo", "Nombre Plantilla/Notificación"),
    *("No Enviado", "Enviado", "Entregado", "Leída", "Respondida", "Razón Falla Envío", "Detalle Falla Envío"),
    *("Fecha/tiempo Envío", "Fecha/tiempo Entrega", "Fecha/hora de lectura", "Fecha/tiempo Respuesta", "Grupos Agente"),
]
PERIOD: dict[str, Any] = {"period_from": "2026-10-05", "period_to": "2026-10-11"}


@pytest.fixture(scope="module")
def exported(sample: Pipeline) -> bytes:
    """A week of the sample, as Botmaker would give it."""
    path, _ = export_selection(sample.settings, ExportSelection(layout="botmaker", file_name="week.tsv", **PERIOD))
    return path.read_bytes()


@pytest.fixture
def compared(sample: Pipeline, exported: bytes, tmp_path: Path) -> Callable[..., Comparison]:
    """Return a comparison of the exported week after some damage to its table, or to its bytes."""

    def compare(damage: Callable[[Table], object] | None = None, content: bytes | None = None) -> Comparison:
        table = read(exported)
        if damage:
            damage(table)
        path = tmp_path / "download.tsv"
        path.write_bytes(content if content is not None else written(table))
        return compare_download(sample.settings, path)

    return compare


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


def test_the_layout_is_the_original_s(sample: Pipeline) -> None:
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


def test_the_layout_keeps_its_headers_in_another_language(sample: Pipeline) -> None:
    selection = ExportSelection(layout="botmaker", language="en", file_name="english.tsv", **PERIOD)
    path, _ = export_selection(sample.settings, selection)
    header, *lines = read(path.read_bytes())
    assert header == ORIGINAL_HEADER
    assert {row[11] for row in lines} >= {"The recipient cannot receive the message"}


def test_the_usual_layout_and_a_wrong_one() -> None:
    assert ExportSelection().layout == "standard"
    with pytest.raises(ValidationError):
        ExportSelection(layout="original")


def test_an_own_export_is_equal(compared: Callable[..., Comparison]) -> None:
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
    ("encoding", "told"),
    [
        *(("utf-8", "utf-8"), ("utf-8-sig", "utf-8-sig"), ("cp1252", "cp1252"), ("utf-16", "utf-16")),
        *(("utf-16-le", "utf-16-le"), ("utf-16-be", "utf-16-be")),
    ],
)
def test_encodings(compared: Callable[..., Comparison], exported: bytes, encoding: str, told: str) -> None:
    comparison = compared(content=_reencoded(exported, encoding))
    assert comparison.differences == []
    assert comparison.encoding == told


def test_a_mark_is_no_part_of_the_first_header() -> None:
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
    "ISO with an offset": lambda table: _every(table, range(13, 17), lambda time: time and time.replace(" ", "T") + "-03:00"),
    "milliseconds": lambda table: _every(table, range(13, 17), lambda time: time and time + ".123"),
    "a plus before the number": lambda table: _every(table, range(1, 2), lambda cell: f"+{cell}" if cell.isdigit() else cell),
    "spaces around": lambda table: _every(table, range(0, 18), lambda cell: f" {cell} "),
}


@pytest.mark.parametrize("harmless", HARMLESS)
def test_another_spelling_is_no_difference(compared: Callable[..., Comparison], harmless: str) -> None:
    comparison = compared(HARMLESS[harmless])
    assert comparison.differences == []
    assert comparison.rows_equal == comparison.rows_here > 300


def test_line_ends_and_quotes_are_no_difference(compared: Callable[..., Comparison], exported: bytes) -> None:
    table = read(exported)
    assert compared(content=exported.replace(b"\n", b"\r\n")).is_equal
    assert compared(content=exported.rstrip(b"\n")).is_equal
    assert compared(content=written(table, csv.QUOTE_ALL)).is_equal
    assert compared(content="\n".join("\t".join(row).rstrip("\t") for row in table).encode()).is_equal


def test_columns_that_one_side_has_are_told(compared: Callable[..., Comparison]) -> None:
    def damage(table: Table) -> None:
        for number, row in enumerate(table):
            row[17] = "Notas" if number == 0 else "x"

    comparison = compared(damage)
    assert comparison.is_equal
    assert comparison.columns_absent == ["agent_groups"]
    assert comparison.columns_extra == ["Notas"]


@pytest.mark.parametrize("field", range(5, 18))
def test_a_changed_cell_is_found_in_its_column(compared: Callable[..., Comparison], field: int) -> None:
    from orchestration.exports.tsv import ORIGINAL_COLUMNS

    def damage(table: Table) -> None:
        for row in table[50:53]:
            row[field] = {"true": "false", "false": "true"}.get(row[field], "2026-10-06 01:02:03" if 13 <= field <= 16 else "other")

    comparison = compared(damage)
    assert causes(comparison) == {(Cause.DIFFERS, ORIGINAL_COLUMNS[field].name): 3}
    (difference,) = comparison.differences
    assert len(difference.examples) == 3
    assert "there '" in difference.examples[0]
    assert "(line 51)" in difference.examples[0]


def test_a_lost_cell_is_found(compared: Callable[..., Comparison]) -> None:
    def damage(table: Table) -> None:
        table[10][column(table, "Fecha/tiempo Envío")] = ""

    assert causes(compared(damage)) == {(Cause.DIFFERS, "sent_at"): 1}


def test_an_unreadable_cell_is_a_difference_not_a_crash(compared: Callable[..., Comparison]) -> None:
    def damage(table: Table) -> None:
        table[10][column(table, "Fecha/tiempo Envío")] = "#####"
        table[11][column(table, "Enviado")] = "maybe"

    comparison = compared(damage)
    assert causes(comparison) == {(Cause.DIFFERS, "sent_at"): 1, (Cause.DIFFERS, "is_sent"): 1}
    assert "'#####'" in comparison.differences[1].examples[0]


def test_rows_missing_on_either_side(compared: Callable[..., Comparison]) -> None:
    def damage(table: Table) -> None:
        del table[20:24]
        stranger = list(table[30])
        stranger[0], stranger[1] = "C-STRANGER", "5511900009999"
        table.append(stranger)

    comparison = compared(damage)
    assert causes(comparison) == {(Cause.MISSING_HERE, None): 1, (Cause.MISSING_THERE, None): 4}
    missing_here = comparison.differences[0]
    assert missing_here.examples[0].startswith("5511900009999 at 2026-10-")


def test_a_row_that_is_there_twice_is_missing_here_once(compared: Callable[..., Comparison]) -> None:
    assert causes(compared(lambda table: table.append(list(table[40])))) == {(Cause.MISSING_HERE, None): 1}


def test_another_contact_or_channel_is_found_by_the_customer(compared: Callable[..., Comparison]) -> None:
    def damage(table: Table) -> None:
        sent = [row for row in table[1:] if row[0]]
        sent[10][1] = "5511000"
        sent[20][3] = "another"

    assert causes(compared(damage)) == {(Cause.DIFFERS, "contact_id"): 1, (Cause.DIFFERS, "channel_id"): 1}


def test_a_session_start_nobody_can_read(compared: Callable[..., Comparison]) -> None:
    def damage(table: Table) -> None:
        table[10][2] = "yesterday"

    comparison = compared(damage)
    assert causes(comparison) == {(Cause.UNREADABLE, None): 1, (Cause.MISSING_THERE, None): 1}


def test_a_period_of_its_own(sample: Pipeline, exported: bytes, tmp_path: Path) -> None:
    path = tmp_path / "week.tsv"
    path.write_bytes(exported)
    narrower = compare_download(sample.settings, path, date(2026, 10, 6), date(2026, 10, 7))
    assert narrower.is_equal
    assert narrower.rows_outside > 0
    wider = compare_download(sample.settings, path, date(2026, 10, 4), date(2026, 10, 11))
    assert {cause for cause, _ in causes(wider)} == {Cause.MISSING_THERE}
    with pytest.raises(StartsError, match="before it starts"):
        compare_download(sample.settings, path, date(2026, 10, 12))
    path.write_bytes(exported.split(b"\n", 1)[0] + b"\n")
    with pytest.raises(UnreadableDownloadError, match="--period-from"):
        compare_download(sample.settings, path)
    empty = compare_download(sample.settings, path, date(2026, 10, 5), date(2026, 10, 11))
    assert causes(empty) == {(Cause.MISSING_THERE, None): empty.rows_here}


@pytest.mark.parametrize("seed", [1, 2])
def test_hostile_values_are_equal_to_themselves(warm: Callable[..., Pipeline], seed: int) -> None:
    run = warm(STARTS_MAX_REJECTED_SHARE="1")
    sends, webhooks = hostile_records(seed)
    write_files(run.landing, "sends", "1.jsonl", sends)
    write_files(run.landing, "webhooks", "1.jsonl", webhooks)
    assert run.run().success
    path, rows = export_selection(run.settings, ExportSelection(layout="botmaker", file_name="all.tsv"))
    comparison = compare_download(run.settings, path)
    assert (comparison.differences, comparison.rows_equal) == ([], rows)
    # A platform that does not clean its cells: raw quotes, and line breaks within quoted cells.
    with path.open(encoding="utf-8", newline="") as file:
        table = list(csv.reader(file, delimiter="\t", strict=True))
    path.write_text("".join("\t".join(row) + "\n" for row in table), encoding="utf-8")
    assert compare_download(run.settings, path).is_equal
    for row in table[1:]:
        row[5] = row[5].replace("Black Friday", "Black\nFriday").replace("tab here", "tab\there")
    path.write_bytes(written(table))
    assert compare_download(run.settings, path).is_equal
    # Each row alone is missed, however alike its neighbours are.
    for number in range(1, len(table), 7):
        path.write_bytes(written(table[:number] + table[number + 1 :]))
        comparison = compare_download(run.settings, path, date(1, 1, 1), date(9999, 12, 31))
        assert causes(comparison) == {(Cause.MISSING_THERE, None): 1}


def test_masked_contacts_cannot_be_compared(warm: Callable[..., Pipeline], exported: bytes, tmp_path: Path) -> None:
    run = warm(STARTS_CONTACTS="masked", STARTS_MASK_KEY="a secret")
    sends, _ = hostile_records(1)
    write_files(run.landing, "sends", "1.jsonl", sends[:20])
    assert run.run().success
    path = tmp_path / "week.tsv"
    path.write_bytes(exported)
    with pytest.raises(StartsError, match="STARTS_CONTACTS=plain"):
        compare_download(run.settings, path)


def test_the_command_tells_by_its_exit_code(
    sample: Pipeline, exported: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STARTS_DATA", str(sample.data))
    path = tmp_path / "week.tsv"
    path.write_bytes(exported)
    assert main(["compare", str(path)]) == 0
    assert "compared 2026-10-05 to 2026-10-11" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["orchestration", "compare", str(path), "--period-from", "2026-10-04"])
    assert main() == 1
    assert "missing there: " in capsys.readouterr().out
    assert main(["compare", str(tmp_path / "nowhere.tsv")]) == 2
    for content in (b"", b"\x00\x01\x02" * 100, b"a,b,c\n1,2,3\n", "Id Usuario;Fecha/tiempo Inicio Sesión\n".encode()):
        path.write_bytes(content)
        assert main(["compare", str(path)]) == 2
        assert "no download of this report" in capsys.readouterr().err
    path.write_bytes(exported)
    assert main(["compare", str(path), "--period-from", "2026-10-12", "--period-to", "2026-10-01"]) == 2
    capsys.readouterr()
    assert main(["compare", str(path), "--period-from", "2020-01-01", "--period-to", "2020-01-31"]) == 2
    assert "Neither the file nor what is published has a row from 2020-01-01 to 2020-01-31" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["compare", str(path), "--period-from", "2026-13-01"])
    assert "--period-from: '2026-13-01' is no day: write it like 2026-10-01" in capsys.readouterr().err
    monkeypatch.setenv("STARTS_DATA", str(tmp_path / "nothing"))
    assert main(["compare", str(path)]) == 2
    assert "Nothing is published yet" in capsys.readouterr().err


def test_the_published_file_is_only_read(sample: Pipeline, exported: bytes, tmp_path: Path) -> None:
    before = sample.settings.published_database.read_bytes()
    path = tmp_path / "week.tsv"
    path.write_bytes(exported)
    with duckdb.connect(str(sample.settings.published_database), read_only=True):
        compare_download(sample.settings, path)
    assert sample.settings.published_database.read_bytes() == before

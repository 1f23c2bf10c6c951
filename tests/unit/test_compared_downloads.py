"""Tests of the comparison with a download on a few rows: each cell, row and shift that differs is reported, and nothing else.

`tests/runs/test_original_download.py` compares whole downloads of the bundled logs.
"""

import csv
import io
import re
import unicodedata
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import openpyxl
import pytest

from orchestration.errors import StartsError
from orchestration.exports.filters import ExportSelection, ReportFilters
from orchestration.exports.on_demand import export_selection
from orchestration.reconciliation.compare import Cause, Comparison, compare_download
from orchestration.reconciliation.download import UnreadableDownloadError, decoded, read_download
from orchestration.settings import Settings
from tests.marts import Warehouse, settings_of, start

Table = list[list[str]]
DAY = date(2026, 10, 5)
CUSTOMER, CONTACT, STARTED, CHANNEL, NAME, IS_READ, REASON, SENT = 0, 1, 2, 3, 5, 9, 11, 13
FAILED = {"is_not_sent": True, "is_sent": False, "is_delivered": False, "delivered_at": None, "last_status": "failed"}


def at(minute: int, second: int) -> datetime:
    return datetime(2026, 10, 5, 15, minute, second)


def retry(number: int, minute: int, second: int, **fields: Any) -> dict[str, Any]:
    """Return a send of a session that starts at a full minute, to the same contact as the others of this minute."""
    person = f"55119{minute:08d}"
    return start(
        number, DAY, session_started_at=at(minute, 0), sent_at=at(minute, second), delivered_at=None, contact_id=person, person_id=person,
        customer_id=f"C-{minute}", **fields,
    )  # fmt: skip


ROWS = [
    start(1, DAY, customer_id="C-1", template_name="Café =1"),
    start(2, DAY, customer_id="C-2", template_name="=promo"),
    start(3, DAY, customer_id="C-3", notification_name="october"),
    start(4, DAY, customer_id="C-4", failure_code="999999", **FAILED),
    start(5, DAY, customer_id="C-5", **FAILED),
    start(6, DAY, customer_id="C-6", failure_code="131026", **FAILED),
    start(7, DAY, customer_id="C-7", is_in_report=False),
    start(8, DAY, customer_id="C-8", message_id=None, template_name=None, origin="organic"),
    # Two attempts in a minute: of different templates, and of the same one.
    retry(11, 11, 5, template_name="first"),
    retry(12, 11, 40, template_name="second"),
    retry(21, 21, 5, is_read=False),
    retry(22, 21, 40, is_read=True),
    # Two attempts of the same template in different minutes of a session.
    retry(31, 31, 5),
    retry(32, 31, 5) | {"sent_at": at(32, 5)},
    # Two sends of the same template in a minute, on two channels.
    retry(41, 41, 5),
    retry(42, 41, 6, channel_id="2"),
]


def published(folder: Path, rows: list[dict[str, Any]]) -> Settings:
    warehouse = Warehouse(settings_of(folder))
    warehouse.publish(warehouse.build({DAY: rows}))
    return warehouse.settings


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return published(tmp_path_factory.mktemp("site"), ROWS)


def exported(settings: Settings) -> Table:
    path, _ = export_selection(settings, ExportSelection(layout="botmaker", file_name="all.tsv"))
    return list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"), newline=""), delimiter="\t", strict=True))


def compare_table(settings: Settings, folder: Path, table: Table, filters: ReportFilters | None = None) -> Comparison:
    path = folder / "download.tsv"
    path.write_text("".join("\t".join(row) + "\n" for row in table), encoding="utf-8")
    return compare_download(settings, path, filters)


@pytest.fixture
def compared(settings: Settings, tmp_path: Path) -> Callable[..., Comparison]:
    """Return a function that compares the export after a change of its rows, which are found by their position in `ROWS`."""

    def compare(change: Callable[[Table], object], filters: ReportFilters | None = None) -> Comparison:
        table = exported(settings)
        change(table)
        return compare_table(settings, tmp_path, table, filters)

    return compare


def row_of(table: Table, customer: str, sent_at: str = "") -> list[str]:
    (found,) = (row for row in table if row[CUSTOMER] == customer and row[SENT].endswith(sent_at))
    return found


def causes(comparison: Comparison) -> dict[tuple[Cause, str | None], int]:
    return {(difference.cause, difference.column): difference.rows for difference in comparison.differences}


def differing(**rows: int) -> dict[tuple[Cause, str | None], int]:
    return {(Cause.DIFFERS, name): count for name, count in rows.items()}


def test_own_export_is_equal(compared: Callable[..., Comparison]) -> None:
    comparison = compared(lambda table: None)
    assert (comparison.differences, comparison.rows_equal, comparison.damage) == ([], len(ROWS) - 1, [])


@pytest.mark.sampled(4)
@pytest.mark.parametrize(
    "time",
    [
        *("2026/10/05 12:00:01", "2026.10.05 12:00", "5/10/2026 12:00:01", "05-10-26 12:00:01", "5/10/26 12:00", "2026-10-05T12:00:01.9"),
        *("2026-10-05T15:00:01Z", "2026-10-05T20:30:01+05:30", "05/10/2026, 12:00:01 p. m."),
        *("5/10/2026 12:00 PM", "2026-10-05 12:00:01 p.m.", "2026-10-05 12:00 p.m.", "5/10/2026 12:00:01.9", "2026-10-05T20:30:01+0530"),
    ],
)
def test_time_in_another_spelling_is_equal(compared: Callable[..., Comparison], time: str) -> None:
    assert row_of(exported_once(compared), "C-1")[STARTED] == "2026-10-05 12:00:01"

    def change(table: Table) -> None:
        row_of(table, "C-1")[STARTED] = row_of(table, "C-1")[SENT] = time

    comparison = compared(change)
    assert comparison.is_equal, causes(comparison)


def exported_once(compared: Callable[..., Comparison]) -> Table:
    found: Table = []
    compared(found.extend)
    return found


@pytest.mark.sampled(5)
@pytest.mark.parametrize(
    ("is_read", "word"),
    [
        *((True, word) for word in ("true", "T", "Sí", "SIM", "s", "yes", "y", "1", "x", "Verdadero", "VERDADEIRO")),
        *((False, word) for word in ("false", "F", "no", "N", "não", "0", "Falso", "-", "")),
    ],
)
def test_yes_and_no_in_other_words_are_equal(compared: Callable[..., Comparison], is_read: bool, word: str) -> None:
    seconds = "40" if is_read else "05"
    comparison = compared(lambda table: row_of(table, "C-21", f":{seconds}").__setitem__(IS_READ, word))
    assert comparison.is_equal, causes(comparison)


def test_decomposed_letters_are_equal(compared: Callable[..., Comparison]) -> None:
    def change(table: Table) -> None:
        row_of(table, "C-1")[NAME] = unicodedata.normalize("NFD", row_of(table, "C-1")[NAME])

    assert compared(change).is_equal


@pytest.mark.parametrize("blank", ["\x1f", "\x7f", "\x85", "\u00a0", "\u2028", "\u3000", "  "])
def test_blank_and_control_characters_are_equal(compared: Callable[..., Comparison], blank: str) -> None:
    assert compared(lambda table: row_of(table, "C-1").__setitem__(NAME, f"{blank}Café{blank}=1{blank}")).is_equal


def test_lost_or_wrong_failure_reason_is_found_and_another_language_is_none(compared: Callable[..., Comparison]) -> None:
    labels = ("The recipient cannot receive the message", "O destinatário não pode receber a mensagem")
    for reason, expected in ((labels[0], {}), (labels[1], {}), ("", differing(failure_reason=1)), ("Other", differing(failure_reason=1))):
        comparison = compared(lambda table, reason=reason: row_of(table, "C-6").__setitem__(REASON, reason))
        assert causes(comparison) == expected, reason


def test_row_with_two_differences_is_one_row_that_is_not_equal(compared: Callable[..., Comparison]) -> None:
    def change(table: Table) -> None:
        row_of(table, "C-1")[NAME] = row_of(table, "C-1")[17] = "other"

    comparison = compared(change)
    assert causes(comparison) == differing(template_or_notification_name=1, agent_groups=1)
    assert comparison.rows_equal == comparison.rows_here - 1


def test_examples_are_the_first_rows_of_the_file(compared: Callable[..., Comparison]) -> None:
    def change(table: Table) -> None:
        for row in table[1:]:
            row[17] = "other"

    (difference,) = compared(change).differences
    assert [example.partition("(line ")[2].partition(")")[0] for example in difference.examples] == ["2", "3", "4"]


@pytest.mark.parametrize("contact", ["", "5511000"])
def test_attempts_of_different_templates_in_a_minute_are_paired_by_template_and_time(
    compared: Callable[..., Comparison], contact: str
) -> None:
    """The file has only the second attempt, with a difference, and maybe with another contact."""

    def change(table: Table) -> None:
        table.remove(row_of(table, "C-11", ":05"))
        second = row_of(table, "C-11", ":40")
        second[17], second[CONTACT] = "other", contact or second[CONTACT]

    expected = {(Cause.MISSING_THERE, None): 1} | (differing(contact_id=1) if contact else {}) | differing(agent_groups=1)
    assert causes(compared(change)) == expected


def test_equal_attempt_is_paired_before_others_of_the_same_template_and_minute(compared: Callable[..., Comparison]) -> None:
    def change(table: Table) -> None:
        table.remove(row_of(table, "C-21", ":05"))

    assert causes(compared(change)) == {(Cause.MISSING_THERE, None): 1}


def test_equal_attempt_is_paired_first_also_if_the_file_has_no_seconds(compared: Callable[..., Comparison]) -> None:
    def change(table: Table) -> None:
        table.remove(row_of(table, "C-21", ":05"))
        for row in table[1:]:
            for time in range(SENT, SENT + 4):
                row[time] = row[time][: len("2026-10-05 15:21")]

    assert causes(compared(change)) == {(Cause.MISSING_THERE, None): 1}


def test_file_without_a_readable_time_is_refused_unless_its_period_is_given(compared: Callable[..., Comparison]) -> None:
    def change(table: Table) -> None:
        for row in table[1:]:
            row[STARTED] = "soon"

    with pytest.raises(UnreadableDownloadError, match=r"no row with a readable time, .* pass its period with --from and --to"):
        compared(change)
    period = ReportFilters(period_from="2026-10-05", period_to="2026-10-05")
    assert (Cause.UNREADABLE, None) in causes(compared(change, period))


def test_sends_of_a_minute_are_paired_by_channel(compared: Callable[..., Comparison]) -> None:
    def change(table: Table) -> None:
        table.remove(row_of(table, "C-41", ":05"))
        row_of(table, "C-41", ":06")[17] = "other"

    assert causes(compared(change)) == {(Cause.MISSING_THERE, None): 1} | differing(agent_groups=1)


def test_changed_attempts_of_a_minute_are_paired_by_their_other_columns(compared: Callable[..., Comparison]) -> None:
    def change(table: Table) -> None:
        first, second = row_of(table, "C-21", ":05"), row_of(table, "C-21", ":40")
        first[17] = second[17] = "other"
        table.remove(first)
        table.append(first)

    assert causes(compared(change)) == differing(agent_groups=2)


def test_attempts_are_paired_by_minute_also_if_a_time_of_the_file_is_unreadable(compared: Callable[..., Comparison]) -> None:
    def change(table: Table) -> None:
        table.remove(row_of(table, "C-31", ":31:05"))
        row_of(table, "C-1")[SENT] = "#####"

    assert causes(compared(change)) == {(Cause.MISSING_THERE, None): 1} | differing(sent_at=1)


@pytest.mark.parametrize("started_at", ["2026-10-05 12:00:61", "2026-10-05 12:00 at night"])
def test_row_with_an_unreadable_start_is_paired_with_no_row_of_the_same_minute(
    compared: Callable[..., Comparison], started_at: str
) -> None:
    comparison = compared(lambda table: row_of(table, "C-1").__setitem__(STARTED, started_at))
    assert causes(comparison) == {(Cause.UNREADABLE, None): 1, (Cause.MISSING_THERE, None): 1}


def test_row_without_all_its_cells_is_unreadable(compared: Callable[..., Comparison]) -> None:
    assert causes(compared(lambda table: table.append(["C-1", "5511"]))) == {(Cause.UNREADABLE, None): 1}


@pytest.mark.parametrize("without_contacts", [False, True])
def test_rows_without_the_filtered_value_are_left_out(compared: Callable[..., Comparison], without_contacts: bool) -> None:
    def change(table: Table) -> None:
        for row in table if without_contacts else []:
            del row[CONTACT]

    comparison = compared(change, ReportFilters(templates=["first"]))
    assert (causes(comparison), comparison.rows_equal, comparison.rows_filtered) == ({}, 1, len(ROWS) - 2)


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("minutes", "said"),
    [
        ((26 * 60,) * 4, "The times of 4 rows are 26:00 h later than here"),
        ((-90, -90, -90, 7), "The times of 3 rows are 1:30 h earlier than here"),
        # Half of the rows are not most of them, and no time zones differ by so much or so little.
        ((60, 60, 7, 7), None),
        ((26 * 60 + 30,) * 4, None),
        ((15,) * 4, None),
        # A row without a readable time is not counted.
        ((60, 60, 7, None), "The times of 2 rows are 1:00 h later than here"),
    ],
)
def test_shift_is_reported_of_most_rows_in_half_hours_up_to_26_hours(
    tmp_path: Path, minutes: tuple[int | None, ...], said: str | None
) -> None:
    settings = published(tmp_path, [start(60 * n, DAY, customer_id=f"C-{n}") for n in range(4)])
    table = exported(settings)
    for row, by in zip(table[1:], minutes, strict=True):
        row[STARTED] = row[SENT] = "soon" if by is None else str(datetime.fromisoformat(row[STARTED]) + timedelta(minutes=by))
    period = ReportFilters(period_from="2026-10-03", period_to="2026-10-07")
    damage = compare_table(settings, tmp_path, table, period).damage
    assert [one[: len(said or one)] for one in damage] == ([said] if said else [])


@pytest.mark.parametrize(
    ("times", "shifts", "said"),
    [
        # Two of three rows equal a published time, and two are an hour before one.
        (((0, 0), (60, 0), (120, 0)), (0, 0, 7), []),
        # Two attempts within a minute are two rows, although each differs from both by an hour.
        (((0, 5), (0, 40)), (60, 60), ["The times of 2 rows are 1:00 h later"]),
    ],
)
def test_times_of_a_person_with_several_sends_are_compared_with_the_nearest(
    tmp_path: Path, times: tuple[tuple[int, int], ...], shifts: tuple[int, ...], said: list[str]
) -> None:
    person = {"contact_id": "5511900000001", "person_id": "5511900000001", "customer_id": "C-1"}
    sent = [at(0, second) + timedelta(minutes=minute) for minute, second in times]
    settings = published(tmp_path, [start(n, DAY, session_started_at=time, sent_at=time, **person) for n, time in enumerate(sent)])
    table = exported(settings)
    for row, by in zip(table[1:], shifts, strict=True):
        row[STARTED] = str(datetime.fromisoformat(row[STARTED]) + timedelta(minutes=by))
    assert [one[: len(said[0])] for one in compare_table(settings, tmp_path, table).damage] == said


@pytest.mark.parametrize("number", ["5,51199E+12", "5.5E+12", "6E+12", "6e12"])
def test_id_in_scientific_notation_is_reported(compared: Callable[..., Comparison], number: str) -> None:
    (damage,) = compared(lambda table: row_of(table, "C-1").__setitem__(CONTACT, number)).damage
    assert damage.startswith("A spreadsheet destroyed contact_id in 1 row: it wrote a number")


def test_ids_of_16_digits_that_lost_the_last_are_reported(tmp_path: Path) -> None:
    # The last two are published as they are; the one ends in zeros.
    customers = ("1234567890123456", "99999999999999999", "88888888888888800", "88888888888888877")
    settings = published(tmp_path, [start(number, DAY, customer_id=customer) for number, customer in enumerate(customers)])
    table = exported(settings)
    row_of(table, "1234567890123456")[CUSTOMER] = "1234567890123450"
    # This one has more digits than any published id that begins like it.
    row_of(table, "99999999999999999")[CUSTOMER] = "999999999999999000"
    (tmp_path / "download.tsv").write_text("".join("\t".join(row) + "\n" for row in table), encoding="utf-8")
    (damage,) = compare_download(settings, tmp_path / "download.tsv").damage
    assert damage.startswith("A spreadsheet destroyed customer_id in 1 row: it kept 15 digits")


def test_header_is_found_in_the_first_ten_lines(compared: Callable[..., Comparison]) -> None:
    def below(lines: int) -> Callable[[Table], object]:
        return lambda table: table.__setitem__(slice(0, 0), [["Métricas"]] * lines)

    assert compared(below(9)).is_equal
    with pytest.raises(StartsError, match="is not a download of this report"):
        compared(below(10))


@pytest.mark.parametrize("required", [{STARTED}, {CUSTOMER, CONTACT}])
def test_file_without_a_required_column_is_not_a_download(compared: Callable[..., Comparison], required: set[int]) -> None:
    def change(table: Table) -> None:
        for row in table:
            row[:] = [cell for place, cell in enumerate(row) if place not in required]

    with pytest.raises(StartsError, match="is not a download of this report"):
        compared(change)


def test_missing_file_is_explained(tmp_path: Path) -> None:
    with pytest.raises(StartsError, match=r"download\.tsv cannot be read: No such file or directory\."):
        read_download(tmp_path / "download.tsv")


def test_first_of_two_columns_with_the_same_header_is_compared(compared: Callable[..., Comparison]) -> None:
    assert compared(lambda table: [row.append(table[0][NAME] if n == 0 else "other") for n, row in enumerate(table)]).is_equal


@pytest.mark.parametrize("column", [CONTACT, CUSTOMER])
def test_either_id_of_a_person_is_enough(compared: Callable[..., Comparison], column: int) -> None:
    assert compared(lambda table: [row.pop(column) for row in table]).is_equal


def test_lines_of_blanks_are_no_rows(compared: Callable[..., Comparison]) -> None:
    assert compared(lambda table: table.append(["", " ", "\u00a0"])).is_equal


def test_control_character_in_a_quoted_cell_does_not_end_it(settings: Settings, tmp_path: Path) -> None:
    table = exported(settings)
    row_of(table, "C-1")[NAME] = "Café\x1f\n=1"
    row_of(table, "C-2")[17] = "other"
    out = io.StringIO()
    csv.writer(out, delimiter=";", lineterminator="\n").writerows(table)
    (tmp_path / "download.csv").write_text(out.getvalue() + "\n", encoding="utf-8")
    (difference,) = compare_download(settings, tmp_path / "download.csv").differences
    assert (difference.column, difference.rows) == ("agent_groups", 1)
    # The cell before it has two lines.
    assert "(line 4)" in difference.examples[0]


def test_texts_without_a_mark_are_decoded() -> None:
    assert decoded("Promoção – 5 €".encode("cp1252")) == ("Promoção – 5 €", "cp1252")
    for encoding in ("utf-16-le", "utf-16-be"):
        # Nearly half of the letters are not Latin.
        text = "Id Usuario, Contacto: Пользователь"
        assert decoded(text.encode(encoding)) == (text, encoding)


def test_workbook_is_read_whatever_its_other_sheets_and_rows(settings: Settings, tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.create_sheet("download")
    for row in exported(settings):
        sheet.append(row)
        sheet.append([])
    book.save(tmp_path / "download.xlsx")
    # Some programs write a wrong size of the sheet.
    with ZipFile(tmp_path / "download.xlsx") as whole, ZipFile(tmp_path / "other_size.xlsx", "w") as changed:
        for name in whole.namelist():
            changed.writestr(name, re.sub(rb'<dimension ref="[^"]*"', b'<dimension ref="A1:B2"', whole.read(name)))
    for name in ("download.xlsx", "other_size.xlsx"):
        comparison = compare_download(settings, tmp_path / name)
        assert (causes(comparison), comparison.rows_there) == ({}, len(ROWS) - 1)


@pytest.mark.parametrize("content", [b"no XML", b"<Types/>", None])
def test_archive_that_is_no_workbook_is_reported(tmp_path: Path, content: bytes | None) -> None:
    with ZipFile(tmp_path / "download.xlsx", "w") as archive:
        archive.writestr("[Content_Types].xml" if content is not None else "notes.txt", content or b"")
    with pytest.raises(StartsError, match=r"is not a workbook that can be read \(\w+\)\. Save it again as XLSX\."):
        read_download(tmp_path / "download.xlsx")

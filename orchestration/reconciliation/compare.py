"""Compare a TSV downloaded from Botmaker with what we published for the same period (contract, section 6).

A download is as people pass it on: saved again by a spreadsheet, in another encoding, with its columns
moved. So both sides are brought to one spelling first, cell by cell, and only then paired and compared;
all of it in DuckDB, because a month of a large sender is millions of rows.
"""

import codecs
import csv
import io
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from pathlib import Path

import duckdb
import pyarrow as pa

from orchestration.errors import StartsError
from orchestration.exports.tsv import FAILURE_REASONS, ORIGINAL_COLUMNS, TSV_COLUMNS
from orchestration.files import quoted
from orchestration.publication.published import open_published
from orchestration.settings import Contacts, Language, Settings

EXAMPLES = 3
_HEADER_WITHIN_LINES = 10
_CELL_END = "\x1f"
_MINUTE, _SECOND = len("2026-10-01 12:00"), len("2026-10-01 12:00:00")


class UnreadableDownloadError(StartsError):
    """The file is no download that we can read; the message says why."""


class Cause(StrEnum):
    """Why a row counts as different. The words are those of the report on the screen."""

    MISSING_HERE = "missing here"
    MISSING_THERE = "missing there"
    DIFFERS = "differs"
    UNREADABLE = "unreadable row"


@dataclass(frozen=True)
class Difference:
    """A cause, the column that differs (only for `DIFFERS`), how many rows, and the first of them in words."""

    cause: Cause
    column: str | None
    rows: int
    examples: list[str]


@dataclass
class Comparison:
    """What a comparison found. Counts are rows of the report; `period` is in report days, both included."""

    encoding: str
    time_zone: str
    period: tuple[date, date]
    rows_there: int = 0
    rows_here: int = 0
    rows_equal: int = 0
    rows_outside: int = 0
    columns_absent: list[str] = field(default_factory=list)
    columns_extra: list[str] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)

    @property
    def is_equal(self) -> bool:
        return not self.differences


@dataclass(frozen=True)
class _Download:
    """A file's rows: a table of `line_number` and `line`, whose cells a separator parts; `positions` says which is which (from 1)."""

    encoding: str
    rows: pa.Table
    separator: str
    positions: dict[str, int]
    extra: list[str]


class _Kind(StrEnum):
    TEXT = "text"
    IDENTIFIER = "identifier"
    TIME = "time"
    BOOLEAN = "boolean"


_KINDS = {
    "contact_id": _Kind.IDENTIFIER,
    "channel_id": _Kind.IDENTIFIER,
    **dict.fromkeys(("session_started_at", "sent_at", "delivered_at", "read_at", "replied_at"), _Kind.TIME),
    **dict.fromkeys(("is_new_user", "is_not_sent", "is_sent", "is_delivered", "is_read", "is_replied"), _Kind.BOOLEAN),
}

# One spelling for both sides. Quotes and the apostrophe that disarms a formula are the writer's, not the value's.
_MACROS = r"""
create or replace temp macro one_line(cell) as
    trim(regexp_replace(replace(nfc_normalize(cell), '"', ''), '[\s\x00-\x1f\x7f-\x{a0}\x{2028}\x{2029}\x{3000}]+', ' ', 'g'));
create or replace temp macro as_text(cell) as nullif(ltrim(one_line(cell), ' '''), '');
create or replace temp macro as_identifier(cell) as case
    when regexp_full_match(as_text(cell), '[+0-9 ().-]*[0-9][+0-9 ().-]*') then regexp_replace(cell, '[^0-9]', '', 'g')
    else as_text(cell)
end;
-- An empty box and a box without an X both say no.
create or replace temp macro as_boolean(cell) as case
    when as_text(cell) is null then 'false'
    when strip_accents(lower(as_text(cell))) in ('true', 't', 'si', 's', 'sim', 'yes', 'y', '1', 'x', 'verdadero', 'verdadeiro') then 'true'
    when strip_accents(lower(as_text(cell))) in ('false', 'f', 'no', 'n', 'nao', '0', 'falso', '-') then 'false'
    else as_text(cell)
end;
create or replace temp macro one_separator(cell) as regexp_replace(
    regexp_replace(replace(as_text(cell), ',', ' '), '^(\d{1,4})[/.-](\d{1,2})[/.-](\d{1,4})[T ]+', '\1-\2-\3 '), ' +', ' ', 'g'
);
create or replace temp macro read_time(text) as case
    when regexp_matches(text, '(?i)\d:\d{2}.*(Z|[+-]\d{2}:?\d{2})$') then timezone($report_timezone, try_cast(text as timestamptz))
    when regexp_matches(text, '^\d{4}-') then try_strptime(text, ['%Y-%m-%d %H:%M:%S', '%Y-%m-%d %H:%M', '%Y-%m-%d %H:%M:%S.%f'])
    when regexp_matches(text, '^\d{1,2}-\d{1,2}-\d{4}')
        then try_strptime(text, ['%d-%m-%Y %H:%M:%S', '%d-%m-%Y %H:%M', '%d-%m-%Y %H:%M:%S.%f'])
    when regexp_matches(text, '^\d{1,2}-\d{1,2}-\d{2} ') then try_strptime(text, ['%d-%m-%y %H:%M:%S', '%d-%m-%y %H:%M'])
end;
create or replace temp macro as_time(cell) as case
    when read_time(one_separator(cell)) is null then as_text(cell)
    when regexp_matches(cell, '\d:\d{2}:\d{2}') then strftime(read_time(one_separator(cell)), '%Y-%m-%d %H:%M:%S')
    else strftime(read_time(one_separator(cell)), '%Y-%m-%d %H:%M')
end;
"""


def compare_download(settings: Settings, path: Path, period_from: date | None = None, period_to: date | None = None) -> Comparison:
    """Compare a downloaded TSV with the published report, for a period or for that of the file's own rows.

    Raises `UnreadableDownloadError` for a file that cannot be read, and `StartsError` where there is nothing
    to compare it with: nothing published, no row on either side, or contacts that were masked.
    """
    download = _read_download(path)
    with open_published(settings) as connection:
        time_zone = _time_zone_of_plain_contacts(connection)
        connection.execute(_MACROS.replace("$report_timezone", quoted(time_zone)))
        _collect_theirs(connection, download)
        period = _period(connection, period_from, period_to)
        comparison = Comparison(
            download.encoding,
            time_zone,
            period,
            columns_absent=[column.name for column in ORIGINAL_COLUMNS if column.name not in download.positions],
            columns_extra=download.extra,
        )
        comparison.rows_outside = _leave_out(connection, period)
        _collect_ours(connection, period, time_zone)
        _pair(connection, download)
        _count(connection, download, settings.language, comparison)
    if not comparison.rows_there and not comparison.rows_here:
        raise StartsError(
            f"Neither the file nor what is published has a row from {period[0]} to {period[1]}: name a period that has landed."
        )
    return comparison


def _time_zone_of_plain_contacts(published: duckdb.DuckDBPyConnection) -> str:
    row = published.execute("select report_timezone, contacts from publish_info").fetchone()
    assert row is not None
    if row[1] != Contacts.PLAIN:
        raise StartsError(
            "The published contacts are masked, and a download has plain ones: no row would meet its other half. "
            "Run the job with STARTS_CONTACTS=plain into a data folder of its own, and compare with that."
        )
    return str(row[0])


def _read_download(path: Path) -> _Download:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UnreadableDownloadError(f"{path} cannot be read: {error.strerror}.") from error
    text, encoding = decoded(content)
    lines = text.replace("\r\n", "\n").split("\n")
    for start, line in enumerate(lines[:_HEADER_WITHIN_LINES]):
        positions, extra = _header([_without_quotes(cell) for cell in line.split("\t")])
        if _is_enough(positions):
            return _Download(encoding, *_rows(lines, start), positions, extra)
    raise UnreadableDownloadError(
        f"{path} is no download of this report: its first lines name no session start with a contact or customer, "
        f"such as {ORIGINAL_COLUMNS[2].es!r} and {ORIGINAL_COLUMNS[1].es!r}, separated by tabs."
    )


def decoded(content: bytes) -> tuple[str, str]:
    """Return the text of a file and the name of its encoding: UTF-8, UTF-16 (with or without a mark), or else Windows-1252."""
    if content.startswith(codecs.BOM_UTF8):
        return content.decode("utf-8-sig", errors="replace"), "utf-8-sig"
    for mark in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        if content.startswith(mark):
            return content.decode("utf-16", errors="replace"), "utf-16"
    head = content[:4096]
    # Latin letters have a zero byte beside them, on the one side or the other.
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


# Ours after the original's are known too, so that they are not told as strangers.
_NAMES = {_simplified(header): column.name for column in TSV_COLUMNS for header in (column.name, column.pt, column.es)}
_COMPARED = {column.name for column in ORIGINAL_COLUMNS}


def _header(cells: Sequence[str]) -> tuple[dict[str, int], list[str]]:
    """Return where each compared column stands (the first, where it is there twice), and the headers nobody knows."""
    positions: dict[str, int] = {}
    extra = []
    for position, cell in enumerate(cells, 1):
        name = _NAMES.get(_simplified(cell))
        if name in _COMPARED:
            positions.setdefault(name, position)
        elif name is None and cell:
            extra.append(cell)
    return positions, extra


def _is_enough(positions: dict[str, int]) -> bool:
    return "session_started_at" in positions and bool({"contact_id", "customer_id"} & set(positions))


def _rows(lines: list[str], header: int) -> tuple[pa.Table, str]:
    """Return the rows after the header as a table of `line_number` (from 1) and `line`, and what parts the cells of a line.

    Where every line has all its cells, a tab always parts two cells, however odd the quotes within.
    Only a file with lines cut by a quoted line break is read by the rules for quotes.
    """
    tabs, after = lines[header].count("\t"), lines[header + 1 :]
    rows, separator = [(number, line) for number, line in enumerate(after, header + 2) if line.strip()], "\t"
    if any(line.count("\t") != tabs for _, line in rows):
        quoted = _rows_by_quotes(after, tabs + 1)
        if quoted:
            rows, separator = [(header + 1 + number, line) for number, line in quoted], _CELL_END
    columns = [[number for number, _ in rows], [line for _, line in rows]]
    return pa.table(columns, schema=pa.schema([("line_number", pa.int64()), ("line", pa.string())])), separator


def _rows_by_quotes(lines: list[str], width: int) -> list[tuple[int, str]]:
    """Return (last line number, cells parted by `_CELL_END`) of each row, or nothing if that gives no table either."""
    reader = csv.reader(io.StringIO("\n".join(lines), newline=""), delimiter="\t")
    try:
        rows = [(reader.line_num, row) for row in reader if any(row)]
    except csv.Error:
        return []
    if any(len(row) != width for _, row in rows):
        return []
    return [(number, _CELL_END.join(cell.replace(_CELL_END, " ") for cell in row)) for number, row in rows]


def _collect_theirs(connection: duckdb.DuckDBPyConnection, download: _Download) -> None:
    """Bring the file's rows to one spelling, in the table `theirs`; what repeats the header is no row."""
    columns = []
    for column in ORIGINAL_COLUMNS:
        position = download.positions.get(column.name)
        columns.append(f"as_{_kind(column.name)}(cells[{position}]) as {column.name}" if position else f"null as {column.name}")
    connection.register("download", download.rows)
    start = download.positions["session_started_at"]
    headers = ", ".join(f"'{name}'" for name in sorted(_NAMES))
    connection.execute(
        f"""
        create or replace temp table theirs as
        select
            line_number as row_id,
            {", ".join(columns)},
            read_time(one_separator(cells[{start}])) as started_at
        from (select line_number, string_split(line, '{download.separator}') as cells from download)
        where regexp_replace(lower(strip_accents(coalesce(cells[{start}], ''))), '[^a-z0-9]', '', 'g') not in ({headers})
        """
    )
    connection.unregister("download")


def _kind(column: str) -> _Kind:
    return _KINDS.get(column, _Kind.TEXT)


def _period(connection: duckdb.DuckDBPyConnection, period_from: date | None, period_to: date | None) -> tuple[date, date]:
    row = connection.execute("select min(started_at)::date, max(started_at)::date from theirs").fetchone()
    assert row is not None
    first, last = period_from or row[0], period_to or row[1]
    if first is None or last is None:
        raise UnreadableDownloadError(
            "The file has no row with a time that can be read. Say which period it is of: --period-from, --period-to."
        )
    if first > last:
        raise StartsError(f"The period ends ({last}) before it starts ({first}).")
    return first, last


def _leave_out(connection: duckdb.DuckDBPyConnection, period: tuple[date, date]) -> int:
    """Drop the file's rows outside the period, and return how many they were."""
    row = connection.execute(
        "delete from theirs where started_at is not null and not started_at::date between $first and $last",
        {"first": period[0], "last": period[1]},
    ).fetchone()
    assert row is not None
    return int(row[0])


def _collect_ours(connection: duckdb.DuckDBPyConnection, period: tuple[date, date], time_zone: str) -> None:
    """Bring the published rows of the period to the same spelling, in the table `ours`, with the reason in every language."""
    derived = {
        "is_new_user": "user_type = 'new'",
        "template_or_notification_name": "coalesce(nullif(notification_name, ''), template_name)",
        "failure_reason": "r.label_en",
    }
    columns = []
    for column in ORIGINAL_COLUMNS:
        value = derived.get(column.name, f"s.{column.name}")
        if _kind(column.name) is _Kind.TIME:
            columns.append(f"strftime(timezone($time_zone, timezone('UTC', {value})), '%Y-%m-%d %H:%M:%S') as {column.name}")
        else:
            columns.append(f"as_{_kind(column.name)}(cast({value} as varchar)) as {column.name}")
    labels = ", ".join(f"as_text(r.label_{language}) as reason_{language}" for language in Language)
    connection.execute(
        f"""
        create or replace temp table ours as
        with reasons as (
            select * from read_csv($failure_reasons, header = true, all_varchar = true)
        )
        select
            row_number() over (order by s.sent_at nulls last, s.session_start_id) as row_id,
            {", ".join(columns)},
            {labels}
        from fct_session_starts as s
        left join reasons as known on s.failure_code = known.failure_code
        left join reasons as r on s.is_not_sent and coalesce(known.failure_code, 'unknown') = r.failure_code
        where s.is_in_report and s.session_start_date between $first and $last
        """,
        {"time_zone": time_zone, "failure_reasons": str(FAILURE_REASONS), "first": period[0], "last": period[1]},
    )


def _pair(connection: duckdb.DuckDBPyConnection, download: _Download) -> None:
    """Find each row's other half, in the table `pairs`.

    The key is (contact, session start to the minute, channel), and a failed send may be tried again
    within the minute. So what is wholly equal goes first, then what was sent at the same time, and what is
    left by the order in which it was sent; only then by the customer, whose contact may be written otherwise.
    """
    connection.execute("create or replace temp table pairs (their_id bigint, our_id bigint)")
    known = set(download.positions)
    minute = f"left(session_started_at, {_MINUTE})"
    by_contact = ["contact_id", minute] + ["coalesce(channel_id, '')"] * ("channel_id" in known)
    by_customer = ["customer_id", minute]
    sending = [f"coalesce(left(sent_at, {_MINUTE}), '')"] * ("sent_at" in known)
    sending += ["coalesce(template_or_notification_name, '')"] * ("template_or_notification_name" in known)
    everything = [f"coalesce({_at_the_files_precision(connection, name)}, '')" for name in sorted(known - {"failure_reason"})]
    order = ", ".join([*sending, *everything, "row_id"])
    for key in (by_contact + everything, by_contact + sending, by_contact, by_customer + sending, by_customer):
        if key[0] not in known:
            continue
        connection.execute(
            f"""
            insert into pairs
            with there as ({_unpaired("theirs", "their_id", key, order)}),
            here as ({_unpaired("ours", "our_id", key, order)})
            select there.row_id, here.row_id
            from there
            inner join here using (pair_key, nth)
            """
        )


def _unpaired(table: str, id_: str, key: list[str], order: str) -> str:
    pair_key = " || chr(31) || ".join(key)
    readable = "started_at is not null" if table == "theirs" else "true"
    return f"""
        select row_id, {pair_key} as pair_key, row_number() over (partition by {pair_key} order by {order}) as nth
        from {table}
        where {readable} and {pair_key} is not null and row_id not in (select {id_} from pairs)
    """


def _at_the_files_precision(connection: duckdb.DuckDBPyConnection, column: str) -> str:
    """Return a column's SQL; a time is cut to minutes where the file gives no more."""
    if _kind(column) is not _Kind.TIME:
        return column
    row = connection.execute(f"select coalesce(min(length({column})), {_SECOND}) from theirs").fetchone()
    assert row is not None
    return f"left({column}, {min(max(int(row[0]), _MINUTE), _SECOND)})"


def _count(connection: duckdb.DuckDBPyConnection, download: _Download, language: Language, comparison: Comparison) -> None:
    """Count the rows of each side and the differences by cause, with the first examples of each."""
    columns = [column.name for column in ORIGINAL_COLUMNS if column.name in download.positions]
    tests = {name: _differs(name) for name in columns}
    pairs = "pairs inner join theirs as t on pairs.their_id = t.row_id inner join ours as o on pairs.our_id = o.row_id"
    row = connection.execute(
        f"""
        select
            (select count(*) from theirs),
            (select count(*) from ours),
            count(*) filter (not ({" or ".join(tests.values())})),
            {", ".join(f"count(*) filter ({test})" for test in tests.values())}
        from {pairs}
        """
    ).fetchone()
    assert row is not None
    comparison.rows_there, comparison.rows_here, comparison.rows_equal = row[:3]
    there = f"{_named('t')} || ' (line ' || t.row_id || ')'"
    unpaired_there = "from theirs as t where t.row_id not in (select their_id from pairs)"
    for cause, query in (
        (Cause.UNREADABLE, f"select {there} {unpaired_there} and t.started_at is null order by t.row_id"),
        (Cause.MISSING_HERE, f"select {there} {unpaired_there} and t.started_at is not null order by t.row_id"),
        (Cause.MISSING_THERE, f"select {_named('o')} from ours as o where o.row_id not in (select our_id from pairs) order by o.row_id"),
    ):
        _add(connection, comparison, cause, None, query)
    for name, rows in zip(columns, row[3:], strict=True):
        if rows:
            ours = f"o.reason_{language}" if name == "failure_reason" else f"o.{name}"
            values = f"': there ' || {_shown(f't.{name}')} || ', here ' || {_shown(ours)}"
            query = f"select {there} || {values} from {pairs} where {tests[name]} order by t.row_id"
            _add(connection, comparison, Cause.DIFFERS, name, query)


def _differs(column: str) -> str:
    """Return the SQL that says whether a pair of rows differs in a column."""
    if _kind(column) is _Kind.TIME:
        # Whoever writes no seconds says nothing about them.
        here = f"case when length(t.{column}) = {_MINUTE} then left(o.{column}, {_MINUTE}) else o.{column} end"
        return f"t.{column} is distinct from {here}"
    if column == "failure_reason":
        labels = ", ".join(f"o.reason_{language}" for language in Language)
        return f"(t.{column} is distinct from o.{column} and not coalesce(t.{column} in ({labels}), false))"
    return f"t.{column} is distinct from o.{column}"


def _named(side: str) -> str:
    name = f"coalesce({side}.contact_id, {side}.customer_id, 'nobody')"
    return f"{name} || ' at ' || coalesce({side}.session_started_at, 'no time') || coalesce(' on ' || {side}.channel_id, '')"


def _shown(value: str) -> str:
    return f"coalesce('''' || {value} || '''', 'nothing')"


def _add(connection: duckdb.DuckDBPyConnection, comparison: Comparison, cause: Cause, column: str | None, query: str) -> None:
    row = connection.execute(f"select count(*) from ({query})").fetchone()
    if row and row[0]:
        examples = [text for (text,) in connection.execute(f"{query} limit {EXAMPLES}").fetchall()]
        comparison.differences.append(Difference(cause, column, int(row[0]), examples))

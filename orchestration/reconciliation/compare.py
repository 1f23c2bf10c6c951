"""Compare a download from Botmaker with the published report for the same period (contract, section 6).

People pass downloads on saved again by a spreadsheet, in another encoding, or with columns moved. So both sides are first normalized
cell by cell, and only then paired and compared. Everything runs in DuckDB, because a month of a large sender is millions of rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from pathlib import Path

import duckdb

from orchestration.errors import StartsError
from orchestration.exports.filters import ReportFilters
from orchestration.exports.tsv import CELL_MACROS, FAILURE_REASONS, ORIGINAL_COLUMNS
from orchestration.files import atomic_write, check_output_path, quoted
from orchestration.identifiers import create_identifier_macros
from orchestration.publication.published import open_published
from orchestration.reconciliation.damage import describe_damage
from orchestration.reconciliation.download import HEADERS, Download, UnreadableDownloadError, read_download
from orchestration.settings import Contacts, Language, Settings

EXAMPLES = 3
_MINUTE, _SECOND = len("2026-10-01 12:00"), len("2026-10-01 12:00:00")
_STARTED_MINUTE = f"left(session_started_at, {_MINUTE})"


class Cause(StrEnum):
    """Why a row counts as different. The values are the words that the report on the screen uses."""

    MISSING_HERE = "missing here"
    MISSING_THERE = "missing there"
    DIFFERS = "differs"
    UNREADABLE = "unreadable row"


@dataclass(frozen=True)
class Difference:
    """A cause, the column that differs (only for `DIFFERS`), the number of rows, and the first of them as text."""

    cause: Cause
    column: str | None
    rows: int
    examples: list[str]


@dataclass
class Comparison:
    """The result of a comparison. Counts are rows of the report; `period` is in report days, both included.

    `rows_filtered` counts the rows of the file that the filters leave out; `damage` describes in sentences what a spreadsheet did to it.
    """

    encoding: str
    time_zone: str
    period: tuple[date, date]
    rows_there: int = 0
    rows_here: int = 0
    rows_equal: int = 0
    rows_outside: int = 0
    rows_filtered: int = 0
    columns_absent: list[str] = field(default_factory=list)
    columns_extra: list[str] = field(default_factory=list)
    damage: list[str] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)

    @property
    def is_equal(self) -> bool:
        return not self.differences


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

# These macros normalize both sides. Quotes and the apostrophe that disarms a formula come from the writer, not from the value. A macro
# uses an argument more than once only if that is a plain column: DuckDB plans a nested call again for each use of the argument.
_MACROS = r"""
create or replace temp macro as_text(cell) as nullif(ltrim(
    trim(regexp_replace(replace(nfc_normalize(cell), '"', ''), '[\s\x00-\x1f\x7f-\x{a0}\x{2028}\x{2029}\x{3000}]+', ' ', 'g')),
' '''), '');
-- An empty cell is a box without an X, so it means no.
create or replace temp macro as_boolean(text, word) as case
    when text is null then 'false'
    when word in ('true', 't', 'si', 's', 'sim', 'yes', 'y', '1', 'x', 'verdadero', 'verdadeiro') then 'true'
    when word in ('false', 'f', 'no', 'n', 'nao', '0', 'falso', '-') then 'false'
    else text
end;
create or replace temp macro one_separator(text) as regexp_replace(
    regexp_replace(replace(text, ',', ' '), '^(\d{1,4})[/.-](\d{1,2})[/.-](\d{1,4})[T ]+', '\1-\2-\3 '), ' +', ' ', 'g'
);
create or replace temp macro read_time(text) as case
    -- Spreadsheets in Mexico write `08:12:02 a. m.`.
    when regexp_matches(text, '(?i) ?[ap][.]? ?m[.]?$') then try_strptime(
        regexp_replace(text, '(?i) ?([ap])[.]? ?m[.]?$', ' \1M'),
        ['%d-%m-%Y %I:%M:%S %p', '%d-%m-%Y %I:%M %p', '%Y-%m-%d %I:%M:%S %p', '%Y-%m-%d %I:%M %p']
    )
    when regexp_matches(text, '(?i)\d:\d{2}.*(Z|[+-]\d{2}:?\d{2})$') then timezone($report_timezone, try_cast(text as timestamptz))
    when regexp_matches(text, '^\d{4}-') then try_strptime(text, ['%Y-%m-%d %H:%M:%S', '%Y-%m-%d %H:%M', '%Y-%m-%d %H:%M:%S.%f'])
    when regexp_matches(text, '^\d{1,2}-\d{1,2}-\d{4}')
        then try_strptime(text, ['%d-%m-%Y %H:%M:%S', '%d-%m-%Y %H:%M', '%d-%m-%Y %H:%M:%S.%f'])
    when regexp_matches(text, '^\d{1,2}-\d{1,2}-\d{2} ') then try_strptime(text, ['%d-%m-%y %H:%M:%S', '%d-%m-%y %H:%M'])
end;
create or replace temp macro as_time(text, read) as case
    when read is null then text
    when regexp_matches(text, '\d:\d{2}:\d{2}') then strftime(read, '%Y-%m-%d %H:%M:%S')
    else strftime(read, '%Y-%m-%d %H:%M')
end;
"""


def compare_download(
    settings: Settings, path: Path, filters: ReportFilters | None = None, all_differences: Path | None = None
) -> Comparison:
    """Compare a download with the published report, for the period of `filters`, or else of the file's rows, and for the other filters.

    The file may contain rows that the filters exclude: published rows that do not pass the filters are left out on both sides. With
    `all_differences`, every difference is written to that file as TSV, one per line; if nothing differs, it contains only a header.

    Raises `UnreadableDownloadError` if the file cannot be read, and `StartsError` if there is nothing to compare it with: nothing
    published, no row on either side, an unknown line or template, or masked contacts.
    """
    filters = filters or ReportFilters()
    if all_differences is not None:
        check_output_path(all_differences)
        if all_differences.exists() and all_differences.samefile(path):
            raise StartsError(f"{path} is the download itself: name another file for the differences.")
    download = read_download(path)
    with open_published(settings) as connection:
        time_zone = _time_zone_of_plain_contacts(connection)
        filters = filters.with_channel_ids(connection)
        create_identifier_macros(connection)
        connection.execute(_MACROS.replace("$report_timezone", quoted(time_zone)))
        _collect_theirs(connection, download)
        period = _period(connection, filters)
        comparison = Comparison(
            download.encoding,
            time_zone,
            period,
            columns_absent=[column.name for column in ORIGINAL_COLUMNS if column.name not in download.positions],
            columns_extra=download.extra,
        )
        comparison.rows_outside = _delete_rows_outside_period(connection, period)
        _collect_ours(connection, period, time_zone, filters)
        comparison.damage = describe_damage(connection, set(download.positions))
        _pair(connection, download)
        comparison.rows_filtered = _delete_filtered_rows(connection, download)
        _collect_differences(connection, download, settings.language)
        _count(connection, download, comparison)
        if not comparison.rows_there and not comparison.rows_here:
            raise StartsError(
                f"Neither the file nor the published report has a row from {period[0]} to {period[1]}. Choose a period that has landed."
            )
        if all_differences is not None:
            _write_differences(connection, all_differences)
    return comparison


def _time_zone_of_plain_contacts(published: duckdb.DuckDBPyConnection) -> str:
    row = published.execute("select report_timezone, contacts from publish_info").fetchone()
    assert row is not None
    if row[1] != Contacts.PLAIN:
        raise StartsError(
            "The published contacts are masked, but a download has plain ones, so no rows would match. "
            "Run the job with STARTS_CONTACTS=plain into a separate data folder, and compare with that."
        )
    return str(row[0])


def _collect_theirs(connection: duckdb.DuckDBPyConnection, download: Download) -> None:
    """Normalize the file's rows into the table `theirs`, except rows that repeat the header."""
    connection.register("download", download.rows)
    start = download.positions["session_started_at"]
    headers = ", ".join(f"'{name}'" for name in sorted(HEADERS))
    cells = {
        column.name: f"cells[{position}]" if (position := download.positions.get(column.name)) else "cast(null as varchar)"
        for column in ORIGINAL_COLUMNS
    }
    rows = f"""
        select line_number as row_id, {", ".join(f"as_text({cell}) as {name}" for name, cell in cells.items())}
        from (select line_number, string_split(line, '{download.separator}') as cells from download)
        where regexp_replace(lower(strip_accents(coalesce(cells[{start}], ''))), '[^a-z0-9]', '', 'g') not in ({headers})
    """
    kinds = {name: _kind(name) if name in download.positions else _Kind.TEXT for name in cells}
    connection.execute(
        f"create or replace temp table theirs as {_normalized(rows, kinds, 'row_id, session_started_at_time as started_at')}"
    )
    connection.unregister("download")


def _normalized(rows: str, kinds: Mapping[str, _Kind], others: str) -> str:
    """Return a query that normalizes the cleaned texts of the query `rows`, each by its kind, so that they can be compared.

    Each step has its own columns, for the reason at `_MACROS`. `<name>_time` is the parsed value of a time; `others` are further columns.
    """
    parts = {
        _Kind.IDENTIFIER: "display_identifier({0}) as {0}_shown",
        _Kind.BOOLEAN: "strip_accents(lower({0})) as {0}_word",
        _Kind.TIME: "one_separator({0}) as {0}_separated",
    }
    spelled = {
        _Kind.TEXT: "{0}",
        _Kind.IDENTIFIER: "comparable_shown({0}_shown) as {0}",
        _Kind.BOOLEAN: "as_boolean({0}, {0}_word) as {0}",
        _Kind.TIME: "as_time({0}, {0}_time) as {0}",
    }
    with_parts = ", ".join(["*", *(parts[kind].format(name) for name, kind in kinds.items() if kind in parts)])
    with_times = ", ".join(["*", *(f"read_time({name}_separated) as {name}_time" for name, kind in kinds.items() if kind is _Kind.TIME)])
    columns = ", ".join([others, *(spelled[kind].format(name) for name, kind in kinds.items())])
    return f"select {columns} from (select {with_times} from (select {with_parts} from ({rows})))"


def _kind(column: str) -> _Kind:
    return _KINDS.get(column, _Kind.TEXT)


def _period(connection: duckdb.DuckDBPyConnection, filters: ReportFilters) -> tuple[date, date]:
    row = connection.execute("select min(started_at)::date, max(started_at)::date from theirs").fetchone()
    assert row is not None
    first = date.fromisoformat(filters.period_from) if filters.period_from else row[0]
    last = date.fromisoformat(filters.period_to) if filters.period_to else row[1]
    if first is None or last is None:
        raise UnreadableDownloadError(
            "The file has no row with a readable time, such as 2026-10-05 08:12:02 or, with the day first, 05/10/2026 08:12. "
            "If that is correct, pass its period with --from and --to."
        )
    if first > last:
        raise StartsError(f"The period ends ({last}) before it starts ({first}).")
    return first, last


def _delete_rows_outside_period(connection: duckdb.DuckDBPyConnection, period: tuple[date, date]) -> int:
    """Delete the file's rows outside the period; return their number."""
    row = connection.execute(
        "delete from theirs where started_at is not null and not started_at::date between $first and $last",
        {"first": period[0], "last": period[1]},
    ).fetchone()
    assert row is not None
    return int(row[0])


def _collect_ours(connection: duckdb.DuckDBPyConnection, period: tuple[date, date], time_zone: str, filters: ReportFilters) -> None:
    """Normalize the published rows of the period in the same way, with the failure reason in every language.

    Rows that pass the filters are in the view `ours`. All other rows are in the view `others`, with negative ids.
    """
    derived = {
        "is_new_user": "user_type = 'new'",
        "template_or_notification_name": "coalesce(nullif(notification_name, ''), template_name)",
        "failure_reason": "r.label_en",
    }
    kinds = {column.name: _Kind.TEXT if _kind(column.name) is _Kind.TIME else _kind(column.name) for column in ORIGINAL_COLUMNS}
    columns = []
    for column in ORIGINAL_COLUMNS:
        value = derived.get(column.name, f"s.{column.name}")
        if _kind(column.name) is _Kind.TIME:
            columns.append(f"strftime(timezone($time_zone, timezone('UTC', {value})), '%Y-%m-%d %H:%M:%S') as {column.name}")
        else:
            columns.append(f"as_text(cast({value} as varchar)) as {column.name}")
    reasons = [f"reason_{language}" for language in Language]
    labels = ", ".join(f"as_text(r.label_{language}) as reason_{language}" for language in Language)
    condition, values = filters.model_copy(update={"period_from": "", "period_to": ""}).condition()
    rows = f"""
        select
            row_number() over (order by s.sent_at nulls last, s.session_start_id) as row_id,
            coalesce({condition}, false) as is_selected,
            {", ".join(columns)},
            {labels}
        from fct_session_starts as s
        left join reasons as known on s.failure_code = known.failure_code
        -- With `is_not_sent` as a separate condition, DuckDB would compare every row with every reason.
        left join reasons as r on case when s.is_not_sent then coalesce(known.failure_code, 'unknown') end = r.failure_code
        where s.is_in_report and s.session_start_date between $first and $last
    """
    connection.execute(
        f"""
        create or replace temp table published as
        with reasons as (
            select * from read_csv($failure_reasons, header = true, all_varchar = true)
        )
        {_normalized(rows, kinds, ", ".join(["row_id", "is_selected", *reasons]))}
        """,
        {"time_zone": time_zone, "failure_reasons": str(FAILURE_REASONS), "first": period[0], "last": period[1], **values},
    )
    connection.execute("create or replace temp view ours as select * from published where is_selected")
    connection.execute("create or replace temp view others as select * replace (-row_id as row_id) from published where not is_selected")


def _pair(connection: duckdb.DuckDBPyConnection, download: Download) -> None:
    """Pair the rows of both sides, in the table `pairs`.

    The key is (contact, session start to the minute, channel), but a failed send may be retried within the minute. So rows that are
    entirely equal are paired first, then rows sent at the same time, then the rest in the order in which they were sent. Finally, rows are
    paired by customer, because a contact may be written differently.
    """
    connection.execute("create or replace temp table pairs (their_id bigint, our_id bigint)")
    known = set(download.positions)
    by_contact = _key_by_contact(known)
    by_customer = ["customer_id", _STARTED_MINUTE]
    sending = [f"coalesce(left(sent_at, {_MINUTE}), '')"] * ("sent_at" in known)
    sending += ["coalesce(template_or_notification_name, '')"] * ("template_or_notification_name" in known)
    everything = [f"coalesce({_at_file_precision(connection, name)}, '')" for name in sorted(known - {"failure_reason"})]
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


def _key_by_contact(known: set[str]) -> list[str]:
    return ["contact_id", _STARTED_MINUTE] + ["coalesce(channel_id, '')"] * ("channel_id" in known)


def _delete_filtered_rows(connection: duckdb.DuckDBPyConnection, download: Download) -> int:
    """Delete the file's rows that are published but do not pass the filters; return their number."""
    key = _key_by_contact(set(download.positions))
    if "contact_id" not in download.positions:
        key[0] = "customer_id"
    row = connection.execute(
        f"""
        delete from theirs where row_id in (
            with there as ({_unpaired("theirs", "their_id", key, "row_id")}),
            here as ({_unpaired("others", "our_id", key, "row_id")})
            select there.row_id from there inner join here using (pair_key, nth)
        )
        """
    ).fetchone()
    assert row is not None
    return int(row[0])


def _unpaired(table: str, id_: str, key: list[str], order: str) -> str:
    pair_key = " || chr(31) || ".join(key)
    readable = "started_at is not null" if table == "theirs" else "true"
    return f"""
        select row_id, {pair_key} as pair_key, row_number() over (partition by {pair_key} order by {order}) as nth
        from {table}
        where {readable} and {pair_key} is not null and row_id not in (select {id_} from pairs)
    """


def _at_file_precision(connection: duckdb.DuckDBPyConnection, column: str) -> str:
    """Return the SQL of a column; a time is cut to minutes if the file has no seconds."""
    if _kind(column) is not _Kind.TIME:
        return column
    row = connection.execute(f"select coalesce(min(length({column})), {_SECOND}) from theirs").fetchone()
    assert row is not None
    return f"left({column}, {min(max(int(row[0]), _MINUTE), _SECOND)})"


def _collect_differences(connection: duckdb.DuckDBPyConnection, download: Download, language: Language) -> None:
    """List every difference in the table `differences`: cause, column, row, and the value on each side."""
    pairs = "pairs inner join theirs as t on pairs.their_id = t.row_id inner join ours as o on pairs.our_id = o.row_id"
    unpaired_there = "from theirs as t where t.row_id not in (select their_id from pairs)"
    queries = [
        f"select {_difference(Cause.UNREADABLE, 't')} {unpaired_there} and t.started_at is null",
        f"select {_difference(Cause.MISSING_HERE, 't')} {unpaired_there} and t.started_at is not null",
        f"select {_difference(Cause.MISSING_THERE, 'o')} from ours as o where o.row_id not in (select our_id from pairs)",
    ]
    for name in _columns_of(download):
        ours = f"o.reason_{language}" if name == "failure_reason" else f"o.{name}"
        queries.append(f"select {_difference(Cause.DIFFERS, 't', name, f't.{name}', ours)} from {pairs} where {_differs(name)}")
    # The order of the report on the screen: by cause, then by column.
    ordered = " union all ".join(f"select {position} as position, * from ({query})" for position, query in enumerate(queries))
    connection.execute(f"create or replace temp table differences as {ordered}")


def _columns_of(download: Download) -> list[str]:
    return [column.name for column in ORIGINAL_COLUMNS if column.name in download.positions]


def _difference(cause: Cause, side: str, column: str | None = None, there: str = "null::varchar", here: str = "null::varchar") -> str:
    line = f"{side}.row_id" if side == "t" else "null::bigint"
    return f"""
        {quoted(cause.value)} as cause,
        {quoted(column) if column else "null::varchar"} as column_name,
        {line} as line,
        {side}.row_id as row_id,
        {side}.contact_id as contact_id,
        {side}.customer_id as customer_id,
        {side}.session_started_at as session_started_at,
        {side}.channel_id as channel_id,
        {there} as there,
        {here} as here
    """


def _count(connection: duckdb.DuckDBPyConnection, download: Download, comparison: Comparison) -> None:
    """Count the rows of each side, and the differences by cause and column, with the first examples of each."""
    row = connection.execute(
        f"""
        select
            (select count(*) from theirs),
            (select count(*) from ours),
            (select count(*) from pairs) - (select count(distinct row_id) from differences where cause = '{Cause.DIFFERS}')
        """
    ).fetchone()
    assert row is not None
    comparison.rows_there, comparison.rows_here, comparison.rows_equal = row
    values = f"': there ' || {_shown('there')} || ', here ' || {_shown('here')}"
    rows = connection.execute(
        f"""
        with examples as (
            select
                *,
                count(*) over (partition by position) as of_position,
                coalesce(contact_id, customer_id, 'no contact') || ' at ' || coalesce(session_started_at, 'no time')
                || coalesce(' on ' || channel_id, '') || coalesce(' (line ' || line || ')', '')
                || case when column_name is null then '' else {values} end as example
            from differences
            qualify row_number() over (partition by position order by row_id) <= {EXAMPLES}
        )
        select cause, column_name, max(of_position), list(example order by row_id) from examples
        group by position, cause, column_name order by position
        """
    ).fetchall()
    comparison.differences = [Difference(Cause(cause), column, count, examples) for cause, column, count, examples in rows]


def _write_differences(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Write the table `differences` as TSV, entirely or not at all. It names people: the entry point's umask keeps it private."""
    connection.execute(CELL_MACROS)
    texts = ("contact_id", "customer_id", "session_started_at", "channel_id", "there", "here")
    cells = ", ".join(f"text_cell({name}) as {name}" for name in texts)
    with atomic_write(path) as draft:
        connection.execute(
            f"""
            copy (
                select cause, column_name, line, {cells} from differences order by position, row_id
            ) to {quoted(draft)} (format csv, header true, delimiter '\t', quote '', nullstr '')
            """
        )


def _differs(column: str) -> str:
    """Return the SQL condition under which a pair of rows differs in a column."""
    if _kind(column) is _Kind.TIME:
        # If the file has no seconds, they are not compared.
        here = f"case when length(t.{column}) = {_MINUTE} then left(o.{column}, {_MINUTE}) else o.{column} end"
        return f"t.{column} is distinct from {here}"
    if column == "failure_reason":
        labels = ", ".join(f"o.reason_{language}" for language in Language)
        return f"(t.{column} is distinct from o.{column} and not coalesce(t.{column} in ({labels}), false))"
    return f"t.{column} is distinct from o.{column}"


def _shown(value: str) -> str:
    return f"coalesce('''' || {value} || '''', 'nothing')"

"""Describe in sentences, for the comparison, how a spreadsheet damaged a download: ids read as numbers, or times shifted."""

from collections.abc import Iterator

import duckdb

_IDS = ("customer_id", "contact_id", "channel_id")
# A spreadsheet keeps 15 digits of a number and replaces the others with zeros.
_KEPT_DIGITS = 15
# Two time zones are at most 26 hours apart, and nearly always by a multiple of half an hour.
_MAX_SHIFT_MINUTES, _SHIFT_STEP_MINUTES = 26 * 60, 30


def describe_damage(connection: duckdb.DuckDBPyConnection, columns: set[str]) -> list[str]:
    """Return sentences about damage to a file's ids and times, from the tables `theirs` and `published`; the file has `columns`."""
    ids = [name for name in _IDS if name in columns]
    shift = _shifted_times(connection, "contact_id" if "contact_id" in columns else "customer_id")
    return [*_destroyed_ids(connection, ids), *([shift] if shift else [])]


def _destroyed_ids(connection: duckdb.DuckDBPyConnection, columns: list[str]) -> Iterator[str]:
    for column in columns:
        row = connection.execute(
            rf"""
            with lost as (
                select {column} as id from published where length({column}) > {_KEPT_DIGITS} and not regexp_matches({column}, '[^0-9]')
            ),
            zeros as (
                select row_id, {column} as id from theirs
                where regexp_full_match({column}, '\d{{{_KEPT_DIGITS}}}0+') and {column} not in (select id from lost)
            )
            select
                (select count(*) from theirs where regexp_full_match({column}, '\d([.,]\d+)?[eE]\+?\d+')),
                -- A genuine id may end in zeros: it counts only if a published id has other digits in their place.
                (
                    select count(distinct zeros.row_id)
                    from zeros
                    inner join lost
                        on left(zeros.id, {_KEPT_DIGITS}) = left(lost.id, {_KEPT_DIGITS}) and length(zeros.id) = length(lost.id)
                )
            """
        ).fetchone()
        assert row is not None
        in_scientific_notation, with_zeros = row
        if in_scientific_notation:
            yield (
                f"A spreadsheet destroyed {column} in {_rows(in_scientific_notation)}: it wrote a number such as 5,51199E+12 instead of "
                "the id. Compare the original download, or import it into the spreadsheet with this column as text."
            )
        if with_zeros:
            yield (
                f"A spreadsheet destroyed {column} in {_rows(with_zeros)}: it kept {_KEPT_DIGITS} digits of the id and replaced the others "
                "with zeros. Compare the original download, or import it into the spreadsheet with this column as text."
            )


def _shifted_times(connection: duckdb.DuckDBPyConnection, person: str) -> str | None:
    """Describe the shift, in whole or half hours, between most rows' start times and a published start of the same person, if any."""
    row = connection.execute(
        f"""
        with differences as (
            select
                theirs.row_id,
                date_diff(
                    'minute', date_trunc('minute', published.session_started_at::timestamp), date_trunc('minute', theirs.started_at)
                ) as minutes
            from theirs
            inner join published on theirs.{person} = published.{person}
            where theirs.started_at is not null and published.session_started_at is not null
        ),
        rows_of as (
            select minutes, count(distinct row_id) as file_rows
            from differences
            where abs(minutes) <= {_MAX_SHIFT_MINUTES} and minutes % {_SHIFT_STEP_MINUTES} = 0
            group by minutes
        )
        select minutes, file_rows, (select count(*) from theirs where started_at is not null) as readable
        from rows_of
        order by file_rows desc, abs(minutes), minutes
        limit 1
        """
    ).fetchone()
    if row is None:
        return None
    minutes, file_rows, readable = row
    if minutes == 0 or 2 * file_rows <= readable:
        return None
    hours, rest = divmod(abs(minutes), 60)
    direction = "later" if minutes > 0 else "earlier"
    return (
        f"The times of {_rows(file_rows)} are {hours}:{rest:02} h {direction} than here: the file is in another time zone, or a "
        "spreadsheet shifted them. Compare the original download, or set STARTS_REPORT_TIMEZONE to the file's time zone and run the job."
    )


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"

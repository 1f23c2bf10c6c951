"""Small pictures of tables and of the funnel for the Dagster UI."""

import duckdb
from dagster import MarkdownMetadataValue, MetadataValue, TableColumn, TableMetadataValue, TableRecord, TableSchema

_CELL_CHARACTERS = 80
_BAR_CHARACTERS = 24

# Dagster keeps metadata for as long as it keeps runs, out of reach of an erasure: no person is to be found in it.
# A wamid is base64 around the contact's number.
_PERSONAL_COLUMNS = {
    "answered_message_id",
    "chat_id",
    "chat_link",
    "contact_id",
    "context_message_id",
    "customer_id",
    "message_id",
    "recipient_id",
    "record",
    "sender_id",
    "session_id",
    "session_start_id",
}


def preview(connection: duckdb.DuckDBPyConnection, query: str) -> TableMetadataValue:
    """Show the rows of one of this package's own queries, without what names a person; long values are cut."""
    result = connection.execute(query)
    columns = [description[0] for description in result.description or []]
    shown = [column for column in columns if column not in _PERSONAL_COLUMNS]
    records = [
        TableRecord({name: _cell(value) for name, value in zip(columns, row, strict=True) if name in shown}) for row in result.fetchall()
    ]
    return MetadataValue.table(records=records, schema=TableSchema(columns=[TableColumn(name) for name in shown]))


def _cell(value: object) -> str:
    return "" if value is None else str(value)[:_CELL_CHARACTERS]


def latest_funnel(connection: duckdb.DuckDBPyConnection) -> MarkdownMetadataValue:
    """Draw the funnel of the last report day that has one."""
    stages = connection.execute(
        """
        select session_start_date, stage, sum(notifications)::bigint as notifications
        from marts.funnel_session_starts
        where session_start_date = (select max(session_start_date) from marts.funnel_session_starts)
        group by session_start_date, stage_order, stage
        order by stage_order
        """
    ).fetchall()
    return MetadataValue.md(draw_funnel(str(stages[0][0]), [stage[1:] for stage in stages]) if stages else "No send has gone out yet.")


def draw_funnel(day: str, stages: list[tuple[str, int]]) -> str:
    """Return a Markdown table with a bar for each (stage, sends), as long as its share of the first stage."""
    whole = max(stages[0][1], 1)
    lines = [f"| {day} | sends | share | |", "|---|---:|---:|---|"]
    for stage, sends in stages:
        bar = "█" * round(_BAR_CHARACTERS * sends / whole) or "▏"
        lines.append(f"| {stage} | {sends:,} | {sends / whole:.0%} | {bar} |")
    return "\n".join(lines)

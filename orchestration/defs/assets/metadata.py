"""Small pictures of tables and of the funnel for the Dagster UI."""

import duckdb
from dagster import MarkdownMetadataValue, MetadataValue, TableColumn, TableMetadataValue, TableRecord, TableSchema

from orchestration.publication.masking import may_hold_number

_CELL_CHARACTERS = 80
_BAR_CHARACTERS = 24

# Dagster keeps metadata for as long as it keeps runs, out of reach of an erasure, so no person is to be found in it, whether
# contacts are masked or not. These columns name none; ids and links do, also those of messages (a wamid is base64 around the
# contact's number), and what WhatsApp says of a failure may.
_SHOWN_COLUMNS = {
    # files and records
    *("line_number", "records", "landed", "rejected", "erased", "landed_at", "_line_number", "_landed_at", "_load_id"),
    # lines
    *("channel_id", "phone_number_id", "display_phone_number"),
    # sends and what became of them
    *("sent_at", "delivered_at", "read_at", "replied_at", "first_reply_at", "answered_at", "failed_at", "error_at", "happened_at"),
    *("is_not_sent", "is_sent", "is_delivered", "is_read", "is_replied", "last_status", "has_error", "reply_evidence", "created_at"),
    *("failure_group", "failure_action", "failure_reason"),
    # messages and sessions
    *("has_referral", "events", "messages", "session_started_at", "session_start_date", "origin", "user_type", "is_new_user", "is_tester"),
    *("session_starts", "notifications", "replied", "not_replied"),
}
# Other people choose these texts, and some put a number in them.
_SHOWN_WITHOUT_NUMBERS = {
    *("feed", "file_name", "_file_name", "status", "set_aside_because", "rejected_because"),
    *("template_name", "template_language", "notification_name", "template_or_notification_name", "agent_groups", "channel_name"),
    *("error_code", "failure_code", "kind", "message_type", "referral_source_type", "name", "sender", "starting_cause", "platform"),
}
HIDDEN = "(hidden: it may hold a number)"


def preview(connection: duckdb.DuckDBPyConnection, query: str) -> TableMetadataValue:
    """Show the rows of one of this package's own queries, without what may name a person; long values are cut."""
    result = connection.execute(query)
    columns = [description[0] for description in result.description or []]
    shown = [column for column in columns if column in _SHOWN_COLUMNS | _SHOWN_WITHOUT_NUMBERS]
    records = [
        TableRecord({name: _cell(name, value) for name, value in zip(columns, row, strict=True) if name in shown})
        for row in result.fetchall()
    ]
    return MetadataValue.table(records=records, schema=TableSchema(columns=[TableColumn(name) for name in shown]))


def _cell(column: str, value: object) -> str:
    text = "" if value is None else str(value)
    return HIDDEN if column in _SHOWN_WITHOUT_NUMBERS and may_hold_number(text) else text[:_CELL_CHARACTERS]


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

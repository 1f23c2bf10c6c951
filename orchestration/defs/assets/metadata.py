"""Build table previews and the funnel for the Dagster UI."""

from collections.abc import Collection, Mapping

import duckdb
from dagster import MarkdownMetadataValue, MetadataValue, TableColumn, TableMetadataValue, TableRecord, TableSchema

from orchestration.publication.masking import may_hold_number
from orchestration.publication.person_columns import Mask, type_is_never_personal

_CELL_CHARACTERS = 80
_BAR_CHARACTERS = 24

# Dagster keeps metadata as long as it keeps runs, and an erasure cannot reach it. So metadata must not identify a person, whether
# contacts are masked or not. Ids and links identify a person, including message ids (a wamid contains the contact's number in base64),
# and WhatsApp's description of a failure may, too.

# The text columns of raw tables that previews show. This is an allow-list, because these columns are declared in SQL
# (`raw_schema.sql`), which has no meta, and raw tables are neither masked nor published.
RAW_TEXTS = frozenset(
    {
        *("channel_id", "phone_number_id", "display_phone_number", "line_number", "channel_name"),
        *("feed", "file_name", "_file_name", "status", "set_aside_because", "rejected_because"),
        *("template_name", "template_language", "notification_name", "agent_groups", "error_code"),
        *("kind", "message_type", "referral_source_type", "name", "sender", "starting_cause", "platform"),
    }
)
# The business's own numbers. In any other text, a number may belong to a person, because other people choose these texts.
_NUMBERS_OF_LINES = frozenset({"channel_id", "phone_number_id", "display_phone_number", "line_number"})
HIDDEN = "(hidden: may contain a number)"


def texts_of_mart(masks: Mapping[str, Mask]) -> frozenset[str]:
    """Return the columns of a mart that a preview shows: those that stay unmasked when contacts are masked."""
    return frozenset(column for column, mask in masks.items() if mask is Mask.NONE)


def preview(connection: duckdb.DuckDBPyConnection, query: str, texts: Collection[str]) -> TableMetadataValue:
    """Return the rows of one of this package's own queries as a table, without values that may identify a person.

    The table has the columns listed in `texts`, and columns of types that cannot identify a person. Texts that may contain a number
    are hidden, except for the business's own numbers. Long values are cut.
    """
    result = connection.execute(query)
    description = result.description or []
    columns = [name for name, *_ in description]
    shown = [name for name, data_type, *_ in description if name in texts or type_is_never_personal(str(data_type))]
    records = [
        TableRecord({name: _cell(name, value) for name, value in zip(columns, row, strict=True) if name in shown})
        for row in result.fetchall()
    ]
    return MetadataValue.table(records=records, schema=TableSchema(columns=[TableColumn(name) for name in shown]))


def _cell(column: str, value: object) -> str:
    if isinstance(value, str) and column not in _NUMBERS_OF_LINES and may_hold_number(value):
        return HIDDEN
    return "" if value is None else str(value)[:_CELL_CHARACTERS]


def latest_funnel(connection: duckdb.DuckDBPyConnection) -> MarkdownMetadataValue:
    """Return the funnel of the last report day that has one, as Markdown."""
    stages = connection.execute(
        """
        select session_start_date, stage, sum(notifications)::bigint as notifications
        from marts.funnel_session_starts
        where session_start_date = (select max(session_start_date) from marts.funnel_session_starts)
        group by session_start_date, stage_order, stage
        order by stage_order
        """
    ).fetchall()
    return MetadataValue.md(draw_funnel(str(stages[0][0]), [stage[1:] for stage in stages]) if stages else "No sends have gone out yet.")


def draw_funnel(day: str, stages: list[tuple[str, int]]) -> str:
    """Return a Markdown table of (stage, sends) in which the length of each bar shows the share of the first stage."""
    whole = max(stages[0][1], 1)
    lines = [f"| {day} | sends | share | |", "|---|---:|---:|---|"]
    for stage, sends in stages:
        bar = "█" * round(_BAR_CHARACTERS * sends / whole) or "▏"
        lines.append(f"| {stage} | {sends:,} | {sends / whole:.0%} | {bar} |")
    return "\n".join(lines)

"""The feeds that can be landed, and the raw tables that each one fills."""

from dataclasses import dataclass
from importlib.resources import files

# Written to the ledger with each file. Raise it when a change of the SQL of a feed, or of how files become lines, makes
# another set of raw rows out of the same bytes (a column, a kind of record, a rejection less or more): the next run then
# reads the files of the landing zone again. A change that only makes reading faster leaves it as it is.
READER_VERSION = 2


@dataclass(frozen=True)
class Feed:
    """A folder of the landing zone.

    `parse_sql` turns a batch's `lines` into typed rows in `parsed_table`, whose `problems` columns
    say what is wrong with a row; `land_sql` puts the good ones into `tables` of schema `raw`.
    `person_columns` are the columns of `parsed_table` that hold an identifier of a person (contract,
    section 2.1), as the record has it: a row with an identifier of an erased person in one of them
    must not land (section 3).
    """

    name: str
    parse_sql: str
    land_sql: str
    parsed_table: str
    problems: tuple[str, ...]
    tables: tuple[str, ...]
    person_columns: tuple[str, ...]


def _sql(name: str) -> str:
    return files("orchestration.landing").joinpath("sql", name).read_text(encoding="utf-8")


RAW_SCHEMA_SQL = _sql("raw_schema.sql")
MACROS_SQL = _sql("time_macros.sql") + _sql("json_macros.sql")
_PAGED_RECORDS_SQL = _sql("paged_records.sql")

SENDS = Feed(
    name="sends",
    parse_sql=_sql("parse_sends.sql"),
    land_sql=_sql("land_sends.sql"),
    parsed_table="parsed_sends",
    problems=("problem",),
    tables=("sends",),
    person_columns=("contact_id",),
)

WEBHOOKS = Feed(
    name="webhooks",
    parse_sql=_sql("parse_webhooks.sql"),
    land_sql=_sql("land_webhooks.sql"),
    parsed_table="parsed_items",
    problems=("body_problem", "neighbour_problem", "status_problem", "message_problem", "echo_problem"),
    tables=("webhook_statuses", "webhook_messages", "webhook_echoes", "webhook_identities", "webhook_other_kinds"),
    person_columns=(
        "recipient_id",
        "recipient_user_id",
        "recipient_parent_user_id",
        "sender_id",
        "sender_user_id",
        "sender_parent_user_id",
        "echo_recipient_id",
        "contact_wa_id",
        "contact_user_id",
        "contact_parent_user_id",
        "notice_wa_id",
        "notice_user_id",
        "notice_parent_user_id",
        "notice_previous_wa_id",
        "notice_previous_user_id",
        "notice_previous_parent_user_id",
    ),
)

BOTMAKER_SESSIONS = Feed(
    name="botmaker/sessions",
    parse_sql=_PAGED_RECORDS_SQL + _sql("parse_botmaker_sessions.sql"),
    land_sql=_sql("land_botmaker_sessions.sql"),
    parsed_table="parsed_botmaker_sessions",
    problems=("session_problem", "event_problem", "message_problem"),
    tables=("botmaker_sessions", "botmaker_session_events", "botmaker_session_messages"),
    person_columns=("contact_id", "user_id", "parent_user_id"),
)

BOTMAKER_SENT_RESULTS = Feed(
    name="botmaker/sent_results",
    parse_sql=_PAGED_RECORDS_SQL + _sql("parse_botmaker_sent_results.sql"),
    land_sql=_sql("land_botmaker_sent_results.sql"),
    parsed_table="parsed_botmaker_sent_results",
    problems=("problem",),
    tables=("botmaker_sent_results",),
    person_columns=(),
)

BOTMAKER_CHANNELS = Feed(
    name="botmaker/channels",
    parse_sql=_PAGED_RECORDS_SQL + _sql("parse_botmaker_channels.sql"),
    land_sql=_sql("land_botmaker_channels.sql"),
    parsed_table="parsed_botmaker_channels",
    problems=("problem",),
    tables=("botmaker_channels",),
    person_columns=(),
)

BOTMAKER_FEEDS = (BOTMAKER_SESSIONS, BOTMAKER_SENT_RESULTS, BOTMAKER_CHANNELS)
FEEDS = (SENDS, WEBHOOKS, *BOTMAKER_FEEDS)
FEED_NAMES = tuple(feed.name for feed in FEEDS)

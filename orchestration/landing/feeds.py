"""The feeds that can be landed, and the raw tables that each one fills."""

from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True)
class Feed:
    """A folder of the landing zone.

    `parse_sql` turns a batch's `lines` into typed rows in `parsed_table`, whose `problems` columns
    say what is wrong with a row; `land_sql` puts the good ones into `tables` of schema `raw`.
    """

    name: str
    parse_sql: str
    land_sql: str
    parsed_table: str
    problems: tuple[str, ...]
    tables: tuple[str, ...]


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
)

WEBHOOKS = Feed(
    name="webhooks",
    parse_sql=_sql("parse_webhooks.sql"),
    land_sql=_sql("land_webhooks.sql"),
    parsed_table="parsed_items",
    problems=("body_problem", "neighbour_problem", "status_problem", "message_problem"),
    tables=("webhook_statuses", "webhook_messages", "webhook_other_kinds"),
)

BOTMAKER_SESSIONS = Feed(
    name="botmaker/sessions",
    parse_sql=_PAGED_RECORDS_SQL + _sql("parse_botmaker_sessions.sql"),
    land_sql=_sql("land_botmaker_sessions.sql"),
    parsed_table="parsed_botmaker_sessions",
    problems=("session_problem", "event_problem", "message_problem"),
    tables=("botmaker_sessions", "botmaker_session_events", "botmaker_session_messages"),
)

BOTMAKER_SENT_RESULTS = Feed(
    name="botmaker/sent_results",
    parse_sql=_PAGED_RECORDS_SQL + _sql("parse_botmaker_sent_results.sql"),
    land_sql=_sql("land_botmaker_sent_results.sql"),
    parsed_table="parsed_botmaker_sent_results",
    problems=("problem",),
    tables=("botmaker_sent_results",),
)

BOTMAKER_CHANNELS = Feed(
    name="botmaker/channels",
    parse_sql=_PAGED_RECORDS_SQL + _sql("parse_botmaker_channels.sql"),
    land_sql=_sql("land_botmaker_channels.sql"),
    parsed_table="parsed_botmaker_channels",
    problems=("problem",),
    tables=("botmaker_channels",),
)

BOTMAKER_FEEDS = (BOTMAKER_SESSIONS, BOTMAKER_SENT_RESULTS, BOTMAKER_CHANNELS)
FEEDS = (SENDS, WEBHOOKS, *BOTMAKER_FEEDS)
FEED_NAMES = tuple(feed.name for feed in FEEDS)

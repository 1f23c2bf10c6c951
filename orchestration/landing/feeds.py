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
TIME_MACROS_SQL = _sql("time_macros.sql")

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
    problems=("body_problem", "status_problem", "message_problem"),
    tables=("webhook_statuses", "webhook_messages", "webhook_other_kinds"),
)

FEEDS = (SENDS, WEBHOOKS)
FEED_NAMES = tuple(feed.name for feed in FEEDS)

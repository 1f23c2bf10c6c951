"""The feeds that can be landed, and the raw tables that each one fills."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.resources import files

import pyarrow as pa

from orchestration.landing.lines import read_lines
from orchestration.landing.rate_cards import read_rate_card

# Written to the ledger with each file. Raise it when a change of the SQL of a feed, or of how files become lines, makes
# another set of raw rows out of the same bytes (a column, a kind of record, a rejection less or more): the next run then
# reads the files of the landing zone again. A change that only makes reading faster leaves it as it is.
READER_VERSION = 5


@dataclass(frozen=True)
class Feed:
    """A folder of the landing zone.

    `read` cuts a file into records, `lines.LINES_SCHEMA`. `parse_sql` turns a batch's `lines` into typed rows in temporary
    tables, `parsed_tables`, and makes a view `parsed_records` of them: file_index, record_number, line_number, problem, record;
    one row or more per record, with what is wrong with it, or null. `land_sql` puts the good rows into `tables` of schema
    `raw`. Between the two, rows may be taken out: those of files that were not read whole, and of people who were erased (see
    `erased`).
    """

    name: str
    parse_sql: str
    land_sql: str
    parsed_tables: tuple[str, ...]
    tables: tuple[str, ...]
    read: Callable[..., Iterator[pa.RecordBatch]] = read_lines


def _sql(name: str) -> str:
    return files("orchestration.landing").joinpath("sql", name).read_text(encoding="utf-8")


RAW_SCHEMA_SQL = _sql("raw_schema.sql")
MACROS_SQL = _sql("time_macros.sql") + _sql("json_macros.sql")
_PAGED_RECORDS_SQL = _sql("paged_records.sql")

SENDS = Feed(
    name="sends",
    parse_sql=_sql("parse_sends.sql"),
    land_sql=_sql("land_sends.sql"),
    parsed_tables=("parsed_sends",),
    tables=("sends",),
)

WEBHOOKS = Feed(
    name="webhooks",
    parse_sql=_sql("parse_webhooks.sql"),
    land_sql=_sql("land_webhooks.sql"),
    parsed_tables=("parsed_statuses", "parsed_messages", "parsed_echoes", "parsed_identities", "parsed_channels"),
    tables=("webhook_statuses", "webhook_messages", "webhook_echoes", "webhook_identities", "webhook_channels", "webhook_other_kinds"),
)

BOTMAKER_SESSIONS = Feed(
    name="botmaker/sessions",
    parse_sql=_PAGED_RECORDS_SQL + _sql("parse_botmaker_sessions.sql"),
    land_sql=_sql("land_botmaker_sessions.sql"),
    parsed_tables=("parsed_botmaker_sessions",),
    tables=("botmaker_sessions", "botmaker_session_events", "botmaker_session_messages"),
)

BOTMAKER_SENT_RESULTS = Feed(
    name="botmaker/sent_results",
    parse_sql=_PAGED_RECORDS_SQL + _sql("parse_botmaker_sent_results.sql"),
    land_sql=_sql("land_botmaker_sent_results.sql"),
    parsed_tables=("parsed_botmaker_sent_results",),
    tables=("botmaker_sent_results",),
)

BOTMAKER_CHANNELS = Feed(
    name="botmaker/channels",
    parse_sql=_PAGED_RECORDS_SQL + _sql("parse_botmaker_channels.sql"),
    land_sql=_sql("land_botmaker_channels.sql"),
    parsed_tables=("parsed_botmaker_channels",),
    tables=("botmaker_channels",),
)

RATES = Feed(
    name="rates",
    parse_sql=_sql("parse_rates.sql"),
    land_sql=_sql("land_rates.sql"),
    parsed_tables=("parsed_rates",),
    tables=("rates",),
    read=read_rate_card,
)

BOTMAKER_FEEDS = (BOTMAKER_SESSIONS, BOTMAKER_SENT_RESULTS, BOTMAKER_CHANNELS)
FEEDS = (SENDS, WEBHOOKS, *BOTMAKER_FEEDS, RATES)
FEED_NAMES = tuple(feed.name for feed in FEEDS)

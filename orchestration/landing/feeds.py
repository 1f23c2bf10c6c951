"""Define the feeds that can be landed, and the raw tables that each one fills."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.resources import files

import pyarrow as pa

from orchestration.landing.rate_cards import read_rate_card
from orchestration.landing.reading.lines import read_lines

# Stored in the ledger with each file. Raise it when a change to a feed's SQL, or to how files are cut into records, produces different
# raw rows from the same bytes (a column, a kind of record or a rejection more or less). The next run then reads the files of the
# landing zone again. Do not raise it for a change that only makes reading faster.
READER_VERSION = 8


@dataclass(frozen=True)
class Feed:
    """A folder of the landing zone.

    `read` cuts a file into records (`lines.LINES_SCHEMA`). `parse_sql` turns a batch's `lines` into typed rows in the temporary
    tables `parsed_tables`, and creates the view `parsed_records` over them: file_index, record_number, line_number, problem,
    record. The view has at least one row per record, with the record's problem or null. The first of the tables has the texts of rejected
    records. `land_sql` inserts the valid rows into `tables` of the schema `raw`. Between the two steps, rows may be removed: those of
    files that were not read completely, and those of erased people (see `erased`).
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

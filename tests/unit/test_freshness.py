"""Tests of the freshness of the data: which feeds and lines are silent for too long (contract, section 3)."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import duckdb
import pytest

from orchestration.transform import freshness
from orchestration.transform.freshness import Silence, max_silence_hours, silences

NOW = datetime(2026, 10, 5, 12)
LIMIT = timedelta(hours=24)
SECOND = timedelta(seconds=1)
Event = tuple[str, str | None, str | None, timedelta]


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as made:
        made.execute("create schema intermediate")
        made.execute(
            "create table intermediate.int_newest_events (feed varchar, channel_id varchar, line_number varchar, newest_event_at timestamp)"
        )
        yield made


@pytest.mark.parametrize(
    ("events", "found"),
    [
        ([], []),
        # Exactly as long as allowed, and a second longer.
        ([("sends", "1", None, LIMIT)], []),
        ([("sends", "1", None, LIMIT + SECOND)], [("sends", None, LIMIT + SECOND, 24)]),
        # Each feed has its own limit.
        ([("webhooks", "1", None, 2 * LIMIT), ("botmaker", "1", None, 2 * LIMIT)], [("webhooks", None, 2 * LIMIT, 24)]),
        ([("botmaker", "1", None, 2 * LIMIT + SECOND)], [("botmaker", None, 2 * LIMIT + SECOND, 48)]),
        # A feed that is silent on all lines is named once, with its newest event.
        ([("sends", "1", None, 3 * LIMIT), ("sends", "2", None, 2 * LIMIT)], [("sends", None, 2 * LIMIT, 24)]),
        # Otherwise the silent lines are named: by their number, if it is known, and the longest silence first.
        (
            [("sends", "1", None, 2 * LIMIT), ("sends", "2", "5511400289", 3 * LIMIT), ("sends", "3", None, LIMIT)],
            [("sends", "5511400289", 3 * LIMIT, 24), ("sends", "1", 2 * LIMIT, 24)],
        ),
        # A clock that is ahead does not hide the silence of other lines.
        ([("sends", "1", None, 2 * LIMIT), ("sends", "2", None, -9 * LIMIT)], [("sends", "1", 2 * LIMIT, 24)]),
        # A line may be silent in one feed alone.
        ([("sends", "1", None, 2 * LIMIT), ("webhooks", "1", None, LIMIT)], [("sends", None, 2 * LIMIT, 24)]),
    ],
)
def test_feeds_and_lines_without_an_event_for_too_long_are_silent(
    connection: duckdb.DuckDBPyConnection,
    monkeypatch: pytest.MonkeyPatch,
    events: list[Event],
    found: list[tuple[str, str | None, timedelta, int]],
) -> None:
    monkeypatch.setattr(freshness, "max_silence_hours", lambda: {"sends": 24, "webhooks": 24, "botmaker": 48})
    for feed, channel_id, line_number, ago in events:
        connection.execute("insert into intermediate.int_newest_events values (?, ?, ?, ?)", [feed, channel_id, line_number, NOW - ago])
    silent = silences(connection, NOW)
    assert [(one.feed, one.line, NOW - one.newest_event_at, one.max_hours) for one in silent] == found


def test_limits_are_the_variable_of_the_dbt_project() -> None:
    # Contract, section 3.
    assert max_silence_hours() == {"sends": 24, "webhooks": 24, "botmaker": 48}


@pytest.mark.parametrize(("line", "words"), [("5511400289", "sends, line 5511400289, silent"), (None, "sends silent")])
def test_silence_names_the_feed_and_the_line(line: str | None, words: str) -> None:
    silence = Silence("sends", line, datetime(2026, 10, 5, 9, 30), 24)
    assert str(silence) == f"{words} since 2026-10-05 09:30 UTC (more than 24 h)"

"""Tests of landing Botmaker's pages: every format lands, and an unreadable part does not affect its neighbours."""

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from orchestration.errors import StartsError
from orchestration.landing.feeds import BOTMAKER_FEEDS, FEED_NAMES
from orchestration.landing.land import LandingReport, land_feed
from orchestration.landing.zone import LandingZone
from tests.data.botmaker_items import SESSIONS, Item, compact, event, message, put, put_all, session, time


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as made:
        made.execute("set timezone = 'UTC'")
        yield made


def land(connection: duckdb.DuckDBPyConnection, landing: Path) -> dict[str, LandingReport]:
    zone = LandingZone(str(landing), FEED_NAMES)
    return {feed.name: land_feed(connection, zone, feed) for feed in BOTMAKER_FEEDS}


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("1.json", lambda items: compact({"items": items, "nextPage": "https://…"})),
        ("1.json", lambda items: json.dumps({"items": items}, indent=2).encode()),
        ("1.json.zst", lambda items: pa.compress(json.dumps({"items": items}, indent=2).encode(), codec="zstd", asbytes=True)),
        ("1.json.gz", lambda items: gzip.compress(compact(items), mtime=0)),
        ("1.json", lambda items: json.dumps([{"items": [item]} for item in items], indent=2).encode()),
        ("1.jsonl", lambda items: b"\n".join(map(compact, items))),
        ("1.ndjson", lambda items: compact({"items": []}) + b"\n" + compact({"items": items[:3]}) + b"\n" + compact({"items": items[3:]})),
        ("1.jsonl.zst", lambda items: pa.compress(b"\n".join(map(compact, items)), codec="zstd", asbytes=True)),
    ],
)
def test_pages_land_in_every_packing(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path, name: str, pack: Callable[[list[Item]], bytes]
) -> None:
    put(tmp_path, f"sessions/{name}", pack(SESSIONS))
    report = land(connection, tmp_path)["botmaker/sessions"]
    assert (report.records, report.landed, report.rejected, report.files_set_aside) == (8, 8, 0, [])
    counts = connection.execute("""
        select
            (select count(distinct session_id) from raw.botmaker_sessions), (select count(*) from raw.botmaker_sessions),
            (select count(*) from raw.botmaker_session_events), (select count(*) from raw.botmaker_session_messages)
    """).fetchone()
    assert counts == (8, 8, 8, 6)
    # The same content under another name changes nothing.
    put(tmp_path, f"sessions/copy-{name}", pack(SESSIONS))
    assert land(connection, tmp_path)["botmaker/sessions"].records == 0


def test_message_texts_and_tokens_are_not_landed(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    put_all(tmp_path)
    put(tmp_path, "channels/2.json", compact({"items": [{"platform": "telegram", "token": "secret", "inner": {"accessToken": "secret"}}]}))
    land(connection, tmp_path)
    for (table,) in connection.execute("select table_name from duckdb_tables() where schema_name = 'raw'").fetchall():
        text = str(connection.execute(f"select * from raw.{table}").fetchall())
        assert "they wrote" not in text, table
        assert "secret" not in text, table


GOOD = session("1", "01 10:00:00")


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (b"{", "not JSON"),
        (b"7", "not a JSON object"),
        (b"\xff", "not UTF-8"),
        (compact(GOOD)[:-1] + b",}", "not JSON: a comma before a closing bracket"),
        (compact({"items": 7}), "items: not a list"),
        (compact(GOOD | {"id": None}), "id: missing"),
        (compact(GOOD | {"id": 7}), "id: not a string"),
        (compact({key: value for key, value in GOOD.items() if key != "creationTime"}), "creationTime: missing"),
        (compact(GOOD | {"creationTime": 1790000000}), "creationTime: not a string"),
        (compact(GOOD | {"creationTime": "2026-10-01 10:00"}), "creationTime: not ISO 8601 with an offset"),
        (compact(GOOD | {"chat": {}}), "chat.chat.chatId: missing"),
        (compact(GOOD | {"chat": {"chat": {"chatId": "1"}}}), "chat.chat.channelId: missing"),
        (compact(GOOD | {"chat": {"chat": {"chatId": "1", "channelId": "1", "contactId": ["1"]}}}), "chat.chat.contactId: not a string"),
        (compact(GOOD | {"events": {}}), "events: not a list"),
        (compact(GOOD | {"messages": "none"}), "messages: not a list"),
    ],
)
def test_unreadable_item_alone_goes_to_quarantine(connection: duckdb.DuckDBPyConnection, tmp_path: Path, item: bytes, reason: str) -> None:
    put(tmp_path, "sessions/1.jsonl", b"\n".join([compact(GOOD), item, compact({"items": [GOOD, GOOD]})]))
    report = land(connection, tmp_path)["botmaker/sessions"]
    assert (report.records, report.landed, report.rejected) == (4, 3, 1)
    rejected = connection.execute("select feed, file_name, line_number, reason, record from raw.rejected_records").fetchall()
    written = item.decode(errors="backslashreplace")
    assert rejected == [("botmaker/sessions", "botmaker/sessions/1.jsonl", 2, reason, written)]
    assert connection.execute("select count(*) from raw.botmaker_sessions").fetchall() == [(3,)]


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"events": [{"creationTime": time("01 10:00:00")}]}, "events[].name: missing"),
        ({"events": ["closed"]}, "events[].name: missing"),
        ({"events": [{"name": {}, "creationTime": time("01 10:00:00")}]}, "events[].name: not a string"),
        ({"events": [{"name": "x", "creationTime": "soon"}]}, "events[].creationTime: missing or not ISO 8601 with an offset"),
        ({"messages": [None]}, "messages[].id: missing"),
        ({"messages": [{"id": " ", "creationTime": time("01 10:00:00")}]}, "messages[].id: missing"),
        ({"messages": [{"id": {}, "creationTime": time("01 10:00:00")}]}, "messages[].id: not a string"),
        ({"messages": [{"id": "x"}]}, "messages[].creationTime: missing or not ISO 8601 with an offset"),
    ],
)
def test_bad_event_or_message_does_not_affect_its_neighbours(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path, more: dict[str, list[Any]], reason: str
) -> None:
    good = {"events": [event("go-to", "01 10:00:00")], "messages": [message("u", "01 10:00:00", "user")]}
    item = GOOD | {name: elements + more.get(name, []) for name, elements in good.items()}
    put(tmp_path, "sessions/1.json", json.dumps({"items": [GOOD, item]}, indent=1).encode())
    report = land(connection, tmp_path)["botmaker/sessions"]
    assert (report.records, report.landed, report.rejected) == (2, 1, 1)
    assert connection.execute("select line_number, reason from raw.rejected_records").fetchall() == [(1, reason)]
    counts = connection.execute("""
        select (select count(*) from raw.botmaker_sessions), (select count(*) from raw.botmaker_session_events),
            (select count(*) from raw.botmaker_session_messages)
    """).fetchone()
    assert counts == (2, 1, 1)


WITHOUT_TIME = {"id": "x", "content": {"text": "x" * 1000}}


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"messages": [WITHOUT_TIME] * 1000}, "messages[].creationTime: missing or not ISO 8601 with an offset"),
        (
            {"messages": [message("u", "01 10:00:00", "user"), WITHOUT_TIME] * 700},
            "messages[].creationTime: missing or not ISO 8601 with an offset",
        ),
        ({"events": [{"creationTime": time("01 10:00:00"), "info": {"note": "x" * 1000}}] * 1000}, "events[].name: missing"),
        (
            {"events": [event("go-to", "01 10:00:00", note="x" * 5000), {}], "messages": [message("u", "01 10:00:00", "user"), None]},
            "events[].name: missing; messages[].id: missing",
        ),
    ],
)
def test_session_with_invalid_items_is_kept_once_in_quarantine(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path, more: dict[str, list[Any]], reason: str
) -> None:
    connection.execute("set memory_limit = '500MB'; set threads = 1; set temp_directory = ''")
    put(tmp_path, "sessions/1.jsonl", compact(GOOD | more))
    assert land(connection, tmp_path)["botmaker/sessions"].rejected == 1
    rejected = connection.execute("select reason, record from raw.rejected_records").fetchall()
    assert rejected == [(reason, compact(GOOD | more).decode())]


@pytest.mark.parametrize(
    ("feed", "item", "reason"),
    [
        ("sent_results", {"status": {}}, "sessionId: missing"),
        ("sent_results", {"sessionId": " ", "status": {}}, "sessionId: missing"),
        ("sent_results", {"sessionId": 7}, "sessionId: not a string"),
        ("channels", {"id": " "}, "id: missing"),
        ("sent_results", {"sessionId": "s", "status": "sent"}, "status: not an object"),
        ("sent_results", {"sessionId": "s", "status": {"read": "yes"}}, "status.read: not ISO 8601 with an offset"),
        ("channels", {"number": "1"}, "id: missing"),
        ("channels", {"id": "c", "number": ["1"]}, "number: neither a string nor a whole number"),
    ],
)
def test_unreadable_sent_results_and_channels_are_rejected(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path, feed: str, item: Item, reason: str
) -> None:
    good = {"sessionId": "s", "status": {"sent": time("01 10:00:00"), "read": ""}, "id": "c"}
    put(tmp_path, f"{feed}/1.jsonl", compact({"items": [good, item]}) + b"\n" + compact({"customers": [good]}))
    report = land(connection, tmp_path)[f"botmaker/{feed}"]
    assert (report.records, report.landed, report.rejected) == (3, 2, 1)
    assert connection.execute("select line_number, reason from raw.rejected_records").fetchall() == [(1, reason)]


def test_truncated_page_is_set_aside_and_lands_when_it_is_replaced(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    page = pa.compress(compact({"items": SESSIONS}) * 50, codec="zstd", asbytes=True)
    put(tmp_path, "sessions/1.json.zst", page[: len(page) // 2])
    report = land(connection, tmp_path)["botmaker/sessions"]
    assert (report.records, len(report.files_set_aside)) == (0, 1)
    put(tmp_path, "sessions/1.json.zst", pa.compress(compact({"items": SESSIONS}), codec="zstd", asbytes=True))
    assert land(connection, tmp_path)["botmaker/sessions"].landed == 8


@pytest.mark.parametrize("feed", FEED_NAMES)
def test_landing_zone_with_a_single_feed_is_accepted(tmp_path: Path, feed: str) -> None:
    (tmp_path / feed).mkdir(parents=True)
    assert LandingZone(str(tmp_path), FEED_NAMES).files(feed) == []


def test_folder_without_feeds_gives_an_error_with_the_feed_names(tmp_path: Path) -> None:
    (tmp_path / "sessions").mkdir()
    with pytest.raises(StartsError, match="none of sends/, webhooks/, botmaker/sessions/, botmaker/sent_results/, botmaker/channels/"):
        LandingZone(str(tmp_path), FEED_NAMES)

"""Botmaker's pages, from files to marts: rows derived by hand from the contract, sections 4.4 to 4.8."""

import gzip
import json
import random
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
from tests.pipeline import Pipeline, comparable

MARTS = ("fct_session_starts", "fct_notifications", "funnel_session_starts", "status_session_starts", "session_starts_daily")
Item = dict[str, Any]


def session(chat: str, at: str, cause: str | None = "WhatsAppTemplate", **more: Any) -> Item:
    """Return an item of `GET /sessions`; `at` is a time of 2026-10."""
    chat_of_session = {
        "chat": {"chatId": chat, "channelId": more.pop("channel", "boti-1"), "contactId": more.pop("contact", f"+54 9 {chat}01")},
        "isTester": more.pop("tester", False),
        "firstName": "Ana",
    }
    if "chat_began" in more:
        chat_of_session["creationTime"] = time(more.pop("chat_began"))
    return {"id": f"{chat}_{time(at)}", "creationTime": time(at), "startingCause": cause, "chat": chat_of_session, **more}


def time(at: str) -> str:
    return f"2026-10-{at.replace(' ', 'T')}Z"


def event(name: str, at: str, message_id: str | None = None, template: str | None = None, **info: str) -> Item:
    told = {"messageId": message_id, "whatsappTemplate": template, **info}
    return {"name": name, "creationTime": time(at), "info": {key: value for key, value in told.items() if value is not None}}


def message(message_id: str, at: str, sender: str, template: str | None = None) -> Item:
    content = {"type": "text", "text": 'what they wrote: ", ]}'} | ({"whatsAppTemplateName": template} if template else {})
    return {"id": message_id, "creationTime": time(at), "from": sender, "content": content}


def result(session_id: str, **status: str) -> Item:
    return {"sessionId": session_id, "contactId": "1", "status": {name: time(at) for name, at in status.items()}}


def compact(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def put(landing: Path, name: str, content: bytes) -> None:
    path = landing / "botmaker" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


SESSIONS = [
    # A template to a new user, answered; a second one while the session is open, answered too.
    session(
        "1111", "01 10:00:00", chat_began="01 09:59:00",
        events=[
            event("notification-sent", "01 10:00:01", "m1", "welcome"),
            event("notification-delivered", "01 10:00:05", "m1"),
            event("notification-sent", "01 12:00:00", "m2", "reminder"),
            event("notification-read", "01 12:05:00", "m2"),
            event("conversation-close", "02 10:00:00"),
        ],
        messages=[
            message("m1", "01 10:00:00", "bot", "welcome"),
            message("u1", "01 10:10:00", "user"),
            message("u2", "01 12:30:00", "user"),
        ],
    ),
    # The same person again: Meta held the message back.
    session(
        "1111", "03 10:00:00", chat_began="01 09:59:00",
        events=[
            event("notification-sent", "03 10:00:00", "m3", "welcome"),
            event("notification-error", "03 10:00:02", "m3", reason="ReceivedFailedStatus: Held back (really). (131049.0)"),
        ],
    ),
    # A user wrote first; a chat that is older than a minute. The template that follows starts nothing.
    session(
        "2222", "01 10:00:00", "Organic", chat_began="01 09:58:59",
        messages=[message("u3", "01 10:00:00", "user"), message("m4", "01 11:00:00", "bot", "offer")],
    ),
    # A sent result makes it a mass notification.
    session("3333", "01 10:00:00", "Organic", messages=[message("m5", "01 10:00:03", "bot", "sale")]),
    session("4444", "01 10:00:00", tester=True, events=[event("notification-sent", "01 10:00:00", "m6", "t")]),
    session("5555", "01 10:00:00", "CauseOf2030"),
    session("6666", "01 10:00:00", "ReferredCampaign"),
    # A push of which nothing else is known.
    session("7777", "01 23:30:00"),
]  # fmt: skip
RESULTS = [
    result("3333_2026-10-01T10:00:00.000Z", sent="01 10:00:02", delivered="01 10:00:04", answered="01 18:00:00"),
    result("9999_2026-10-01T10:00:00Z", sent="01 10:00:00"),
]
CHANNELS = [
    {"id": "boti-1", "platform": "whatsapp", "number": "+54 11 5555-0000"},
    {"id": "boti-2", "platform": "telegram", "token": "secret"},
]


def put_all(landing: Path) -> None:
    put(landing, "sessions/1.json", compact({"items": SESSIONS, "nextPage": None}))
    put(landing, "sent_results/1.json", compact({"notification": {"notificationName": "Sale"}, "customers": RESULTS, "nextPage": None}))
    put(landing, "channels/1.json", compact({"items": CHANNELS}))


def told(rows: list[Item], *columns: str) -> dict[Any, tuple[Any, ...]]:
    """Return columns by the first one; times without their constant parts."""
    return {row[columns[0]]: tuple(str(row[name]).removeprefix("2026-10-") for name in columns[1:]) for row in rows}


def test_botmaker_alone_fills_the_marts(pipeline: Callable[..., Pipeline]) -> None:
    run = pipeline()
    put_all(run.landing)
    assert run.run().success

    starts = run.rows("fct_session_starts")
    assert told(starts, "session_id", "origin", "is_in_report", "user_type", "message_id", "last_status", "is_replied") == {
        "1111_2026-10-01T10:00:00Z": ("whatsapp_template", "True", "new", "m1", "replied", "True"),
        "1111_2026-10-03T10:00:00Z": ("whatsapp_template", "True", "returning", "m3", "not_sent", "False"),
        "2222_2026-10-01T10:00:00Z": ("organic", "False", "returning", "None", "None", "None"),
        "3333_2026-10-01T10:00:00Z": ("mass_notification", "True", "new", "m5", "replied", "True"),
        "5555_2026-10-01T10:00:00Z": ("other", "False", "new", "None", "None", "None"),
        "6666_2026-10-01T10:00:00Z": ("referred_campaign", "True", "new", "None", "None", "None"),
        "7777_2026-10-01T23:30:00Z": ("whatsapp_template", "True", "new", "None", "None", "None"),
    }
    assert {row["session_start_id"] for row in starts} == {row["session_id"] for row in starts}
    assert told(starts, "session_id", "contact_id", "customer_id", "chat_link")["6666_2026-10-01T10:00:00Z"] == (
        "549666601", "6666", "https://go.botmaker.com/#/chats/6666",
    )  # fmt: skip
    assert {(row["channel_id"], row["line_number"], row["source"]) for row in starts} == {("boti-1", "541155550000", "botmaker")}

    notifications = run.rows("fct_notifications")
    assert told(notifications, "message_id", "is_session_start", "is_in_report", "origin", "template_name", "notification_name") == {
        "m1": ("True", "True", "whatsapp_template", "welcome", "None"),
        "m2": ("False", "False", "whatsapp_template", "reminder", "None"),
        "m3": ("True", "True", "whatsapp_template", "welcome", "None"),
        "m4": ("False", "False", "whatsapp_template", "offer", "None"),
        "m5": ("True", "True", "mass_notification", "sale", "Sale"),
    }
    assert told(notifications, "message_id", "sent_at", "delivered_at", "read_at", "replied_at", "failed_at", "last_status") == {
        "m1": ("01 10:00:01", "01 10:00:05", "None", "01 10:10:00", "None", "replied"),
        "m2": ("01 12:00:00", "None", "01 12:05:00", "01 12:30:00", "None", "replied"),
        "m3": ("03 10:00:00", "None", "None", "None", "03 10:00:02", "not_sent"),
        "m4": ("01 11:00:00", "None", "None", "None", "None", "pending"),
        "m5": ("01 10:00:02", "01 10:00:04", "None", "01 18:00:00", "None", "replied"),
    }
    assert told(notifications, "message_id", "failure_code", "failure_group", "failure_detail")["m3"] == (
        "131049", "meta_limit", "ReceivedFailedStatus: Held back (really). (131049.0)",
    )  # fmt: skip

    daily = run.rows("session_starts_daily")
    totals = [sum(row[name] for row in daily) for name in ("session_starts", "notifications", "replied", "not_replied")]
    assert totals == [5, 3, 2, 0]
    assert sum(row["notifications"] for row in run.rows("funnel_session_starts") if row["stage"] == "sent") == 2
    assert {path.split("-", 1)[1] for path in run.tsv_bytes()} == {"2026-10-01.tsv", "2026-10-03.tsv"}


def test_a_tester_is_shown_where_asked_for(pipeline: Callable[..., Pipeline], monkeypatch: pytest.MonkeyPatch) -> None:
    from orchestration.settings import Settings

    run = pipeline()
    put_all(run.landing)
    monkeypatch.setattr(Settings, "dbt_vars", {"report_timezone": "America/Sao_Paulo", "include_testers": True})
    assert run.run().success
    assert "m6" in {row["message_id"] for row in run.rows("fct_session_starts")}


def test_logs_and_botmaker_stand_side_by_side(pipeline: Callable[..., Pipeline]) -> None:
    send = {
        "message_id": "wamid.1",
        "sent_at": "2026-10-01T12:00:00Z",
        "channel_id": "boti-1",
        "contact_id": "549111101",
        "template_name": "t",
    }
    both, logs, botmaker = pipeline("both"), pipeline("logs"), pipeline("botmaker")
    for run in (both, logs):
        (run.landing / "sends").mkdir()
        (run.landing / "sends" / "1.jsonl").write_bytes(compact(send))
    put_all(botmaker.landing)
    assert logs.run().success
    assert botmaker.run().success
    # The logs first, so that Botmaker's pages re-enter a conversation that the marts know already.
    assert both.run().success
    put_all(both.landing)
    assert both.run().success

    for mart in ("fct_session_starts", "fct_notifications"):
        of_logs = [row | {"line_number": "541155550000"} for row in logs.rows(mart)]
        assert comparable(both.rows(mart)) == comparable(of_logs + botmaker.rows(mart)), mart
    assert {row["source"] for row in both.rows("fct_notifications")} == {"logs", "botmaker"}


def random_items(rnd: random.Random) -> tuple[list[Item], list[Item], list[Item]]:
    """Return sessions, sent results and channels: few chats and moments, so that much falls together."""
    moments = [f"{day:02} {hour:02}:00:0{second}" for day in (1, 2) for hour in (9, 10, 11) for second in (0, 1)]
    names = ["notification-sent", "notification-delivered", "notification-read", "notification-error", "notification-status-error", "go-to"]
    items = []
    for _ in range(60):
        started = rnd.choice(moments[:4])
        item = session(
            f"C{rnd.randrange(6)}", started, rnd.choice(["WhatsAppTemplate", "MassNotification", "Organic", None, "ReferredWebchat"]),
            channel=rnd.choice(["boti-1", "boti-1", "boti-2"]), contact=rnd.choice(["1", "2", "US.3"]), tester=rnd.random() < 0.1,
            chat_began=rnd.choice(moments),
            events=[
                event(rnd.choice(names), rnd.choice(moments), rnd.choice(["m1", "m2", "m3", None]), rnd.choice(["a", "b", None]),
                      reason=rnd.choice(["x (1)", "y (131026.0)", "z"]))
                for _ in range(rnd.randrange(4))
            ],
            messages=[
                message(rnd.choice(["m1", "m2", "m4", "u1", "u2", "u3"]), rnd.choice(moments), rnd.choice(["bot", "user", "agent"]),
                        rnd.choice(["a", "b", None]))
                for _ in range(rnd.randrange(4))
            ],
        )  # fmt: skip
        items.append(item | {"id": rnd.choice([item["id"], item["id"].replace("Z", ".000Z")])})
    results = [
        result(
            rnd.choice(items)["id"], **{kind: rnd.choice(moments) for kind in ("sent", "read", "answered", "error") if rnd.random() < 0.4}
        )
        | {"notificationName": rnd.choice(["n1", "n2"])}
        for _ in range(12)
    ]
    channels: list[Item] = [{"id": "boti-1", "number": "+7 77"}, {"id": "boti-1", "number": "33"}, {"id": "boti-2", "number": None}]
    return items, results, channels


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_pages_in_any_order_and_number_end_like_one_load(pipeline: Callable[..., Pipeline], seed: int) -> None:
    rnd = random.Random(seed)
    items, results, channels = random_items(rnd)
    at_once, in_batches = pipeline("at_once"), pipeline("in_batches")
    put(at_once.landing, "sessions/1.json", compact({"items": items}))
    put(at_once.landing, "sent_results/1.jsonl", b"\n".join(map(compact, results)))
    put(at_once.landing, "channels/1.json", compact({"items": channels}))
    assert at_once.run().success
    assert len(at_once.rows("fct_notifications")) > 5

    rnd.shuffle(items)
    rnd.shuffle(results)
    for batch in range(5):
        page = items[batch::5] + rnd.sample(items, 4)
        content = json.dumps({"items": page}, indent=1).encode() if batch % 2 else b"\n".join(map(compact, page))
        # The first batch brings sent results and numbers alone, the third no numbers, the last no sent results.
        if batch:
            put(in_batches.landing, f"sessions/{batch}.json", content)
        if batch < 4:
            put(in_batches.landing, f"sent_results/{batch}.json", compact({"customers": results[batch::4] + rnd.sample(results, 2)}))
        if batch in (0, 1, 3):
            put(in_batches.landing, f"channels/{batch}.jsonl", compact(channels[-1 if batch == 3 else batch]))
        assert in_batches.run().success
    put(in_batches.landing, "sessions/late.json", compact(items[0::5]))
    assert in_batches.run().success

    for mart in MARTS:
        assert comparable(in_batches.rows(mart)) == comparable(at_once.rows(mart)), mart
        assert comparable(in_batches.rows(f"marts.{mart}", published=False)) == comparable(at_once.rows(mart)), mart
    assert in_batches.tsv_bytes() == at_once.tsv_bytes()


def test_what_comes_later_changes_what_was_said(pipeline: Callable[..., Pipeline]) -> None:
    run = pipeline()
    sent = event("notification-sent", "01 10:00:00", "m1", "t")
    put(run.landing, "sent_results/1.json", compact(result("1_2026-10-01T10:00:00Z", sent="01 10:00:00") | {"notificationName": "N"}))
    put(run.landing, "sessions/1.json", compact(session("1", "01 10:00:00", events=[sent], contact="1")))
    put(
        run.landing,
        "sessions/2.json",
        compact(session("2", "02 10:00:00", contact="2", events=[sent | {"creationTime": time("02 10:00:00")}])),
    )
    assert run.run().success

    def starts() -> dict[Any, tuple[Any, ...]]:
        return told(run.rows("fct_session_starts"), "customer_id", "contact_id", "origin", "last_status", "user_type", "line_number")

    assert starts() == {
        "1": ("1", "mass_notification", "sent", "new", "None"),
        "2": ("2", "whatsapp_template", "sent", "new", "None"),
    }
    # One message id in two sessions is two rows; what happens to one leaves the other as it is.
    assert len(run.rows("fct_notifications")) == 2

    # An open session closes, answered, and turns out to be of the second session's contact.
    answered = session(
        "1",
        "01 10:00:00.500",
        events=[event("conversation-close", "01 12:00:00")],
        contact="2",
        messages=[message("u", "01 11:00:00", "user")],
    )
    put(run.landing, "sessions/3.json", compact(answered))
    assert run.run().success
    assert starts() == {
        "1": ("2", "mass_notification", "replied", "new", "None"),
        "2": ("2", "whatsapp_template", "sent", "returning", "None"),
    }
    assert {row["session_id"] for row in run.rows("fct_notifications")} == {"1_2026-10-01T10:00:00.500Z", "2_2026-10-02T10:00:00Z"}

    # A sent result comes alone, then the channel's number.
    put(run.landing, "sent_results/2.json", compact(result("2_2026-10-02T10:00:00Z", read="02 11:00:00")))
    assert run.run().success
    assert starts()["2"] == ("2", "mass_notification", "read", "returning", "None")
    put(run.landing, "channels/1.json", compact({"items": [{"id": "boti-1", "number": 5411}]}))
    assert run.run().success
    assert starts() == {
        "1": ("2", "mass_notification", "replied", "new", "5411"),
        "2": ("2", "mass_notification", "read", "returning", "5411"),
    }

    # The first chat was a tester's.
    put(
        run.landing,
        "sessions/4.json",
        compact(answered | session("1", "01 10:00:00", contact="2", tester=True, messages=[], events=[sent] * 9)),
    )
    assert run.run().success
    assert starts() == {"2": ("2", "mass_notification", "read", "new", "5411")}
    assert len(run.rows("fct_notifications")) == 1


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as made:
        made.execute("set timezone = 'UTC'")
        yield made


def land(connection: duckdb.DuckDBPyConnection, landing: Path) -> dict[str, LandingReport]:
    zone = LandingZone(str(landing), FEED_NAMES)
    return {feed.name: land_feed(connection, zone, feed) for feed in BOTMAKER_FEEDS}


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("1.json", lambda items: compact({"items": items, "nextPage": "https://…"})),
        ("1.json", lambda items: json.dumps({"items": items}, indent=2).encode()),
        ("1.json.zst", lambda items: pa.compress(json.dumps({"items": items}, indent=2).encode(), codec="zstd", asbytes=True)),
        ("1.json.gz", lambda items: gzip.compress(compact(items))),
        ("1.json", lambda items: json.dumps([{"items": [item]} for item in items], indent=2).encode()),
        ("1.jsonl", lambda items: b"\n".join(map(compact, items))),
        ("1.ndjson", lambda items: compact({"items": []}) + b"\n" + compact({"items": items[:3]}) + b"\n" + compact({"items": items[3:]})),
        ("1.jsonl.zst", lambda items: pa.compress(b"\n".join(map(compact, items)), codec="zstd", asbytes=True)),
    ],
)
def test_pages_land_however_they_are_packed(
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
    # Another name for the same content changes nothing.
    put(tmp_path, f"sessions/copy-{name}", pack(SESSIONS))
    assert land(connection, tmp_path)["botmaker/sessions"].records == 0


def test_what_people_wrote_and_tokens_stay_in_the_files(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    put_all(tmp_path)
    put(tmp_path, "channels/2.json", compact({"items": [{"platform": "telegram", "token": "secret", "inner": {"accessToken": "secret"}}]}))
    land(connection, tmp_path)
    for (table,) in connection.execute("select table_name from duckdb_tables() where schema_name = 'raw'").fetchall():
        text = str(connection.execute(f"select * from raw.{table}").fetchall())
        assert "they wrote" not in text, table
        assert "secret" not in text, table


GOOD = session("1", "01 10:00:00")


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
def test_an_item_that_cannot_be_read_goes_to_quarantine_alone(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path, item: bytes, reason: str
) -> None:
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
        ({"events": [{"name": "x", "creationTime": "soon"}]}, "events[].creationTime: missing or not ISO 8601 with an offset"),
        ({"messages": [None]}, "messages[].id: missing"),
        ({"messages": [{"id": {}, "creationTime": time("01 10:00:00")}]}, "messages[].id: not a string"),
        ({"messages": [{"id": "x"}]}, "messages[].creationTime: missing or not ISO 8601 with an offset"),
    ],
)
def test_a_bad_event_or_message_leaves_its_neighbours(
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


@pytest.mark.parametrize(
    ("feed", "item", "reason"),
    [
        ("sent_results", {"status": {}}, "sessionId: missing"),
        ("sent_results", {"sessionId": " ", "status": {}}, "sessionId: missing"),
        ("sent_results", {"sessionId": 7}, "sessionId: not a string"),
        ("sent_results", {"sessionId": "s", "status": "sent"}, "status: not an object"),
        ("sent_results", {"sessionId": "s", "status": {"read": "yes"}}, "status.read: not ISO 8601 with an offset"),
        ("channels", {"number": "1"}, "id: missing"),
        ("channels", {"id": "c", "number": ["1"]}, "number: neither a string nor a whole number"),
    ],
)
def test_sent_results_and_channels_that_cannot_be_read(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path, feed: str, item: Item, reason: str
) -> None:
    good = {"sessionId": "s", "status": {"sent": time("01 10:00:00"), "read": ""}, "id": "c"}
    put(tmp_path, f"{feed}/1.jsonl", compact({"items": [good, item]}) + b"\n" + compact({"customers": [good]}))
    report = land(connection, tmp_path)[f"botmaker/{feed}"]
    assert (report.records, report.landed, report.rejected) == (3, 2, 1)
    assert connection.execute("select line_number, reason from raw.rejected_records").fetchall() == [(1, reason)]


def test_a_page_that_is_cut_short_is_set_aside_and_lands_when_it_comes_back(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    page = pa.compress(compact({"items": SESSIONS}) * 50, codec="zstd", asbytes=True)
    put(tmp_path, "sessions/1.json.zst", page[: len(page) // 2])
    report = land(connection, tmp_path)["botmaker/sessions"]
    assert (report.records, len(report.files_set_aside)) == (0, 1)
    put(tmp_path, "sessions/1.json.zst", pa.compress(compact({"items": SESSIONS}), codec="zstd", asbytes=True))
    assert land(connection, tmp_path)["botmaker/sessions"].landed == 8


@pytest.mark.parametrize("feed", FEED_NAMES)
def test_a_landing_zone_may_hold_any_one_feed(tmp_path: Path, feed: str) -> None:
    (tmp_path / feed).mkdir(parents=True)
    assert LandingZone(str(tmp_path), FEED_NAMES).files(feed) == []


def test_a_folder_without_any_feed_is_told_which_ones_there_are(tmp_path: Path) -> None:
    (tmp_path / "sessions").mkdir()
    with pytest.raises(StartsError, match="none of sends/, webhooks/, botmaker/sessions/, botmaker/sent_results/, botmaker/channels/"):
        LandingZone(str(tmp_path), FEED_NAMES)

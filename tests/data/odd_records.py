"""Records that are odd but possible: JSON of any shape in any place, extreme times, ids and texts.

`odd_records` returns each with its expected outcome: landed, rejected, or either if the contract leaves it open. Every later run must
finish, whatever lands.
"""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

FEEDS = ("sends", "webhooks", "botmaker/sessions", "botmaker/sent_results", "botmaker/channels")
START = 1_791_000_000  # 2026-10-03
Record = dict[str, Any]


@dataclass(frozen=True)
class OddRecord:
    """A line of a feed. `lands` is None if the contract leaves open whether the line, or a part of it, lands."""

    feed: str
    what: str
    line: bytes
    lands: bool | None

    def __str__(self) -> str:
        return f"{self.feed}: {self.what}"


def send(number: int = 0, **fields: Any) -> Record:
    """Return a send in the format of the log; several share people and lines, so that an odd one has neighbours."""
    return {
        "message_id": f"wamid.odd{number}",
        "sent_at": START + number * 60,
        "channel_id": "lab-line-7",
        "contact_id": f"55119876{number % 7:05d}",
        "template_name": "odd",
    } | fields


def status(**fields: Any) -> Record:
    return {"id": "wamid.odd0", "status": "delivered", "timestamp": str(START), "recipient_id": "5511987600000"} | fields


def message(**fields: Any) -> Record:
    return {"id": "in.odd", "timestamp": str(START + 5), "type": "text", "from": "5511987600000"} | fields


def body(kind: str, *items: Any, field: Any = "messages", **value: Any) -> Record:
    """Return a webhook body with one change."""
    content = {"metadata": {"phone_number_id": "lab-line-7"}, kind: list(items)} | value
    return {"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [{"field": field, "value": content}]}]}


def session(**fields: Any) -> Record:
    ids = {"chatId": "CHAT1", "channelId": "boti-whatsapp-1", "contactId": "5511987600000"}
    notice = {"name": "notification-sent", "creationTime": "2026-10-03T01:00:00Z", "info": {"messageId": "m1"}}
    return {
        "id": "CHAT1_2026-10-03T01:00:00Z",
        "creationTime": "2026-10-03T01:00:00Z",
        "startingCause": "WhatsAppTemplate",
        "chat": {"chat": ids},
        "events": [notice],
        "messages": [{"id": "m2", "creationTime": "2026-10-03T01:05:00Z", "from": "user", "content": {}}],
    } | fields


def result(**fields: Any) -> Record:
    return {"sessionId": "CHAT1_2026-10-03T01:00:00Z", "customerId": "CHAT1", "status": {"sent": "2026-10-03T01:00:00Z"}} | fields


def channel(**fields: Any) -> Record:
    return {"id": "boti-whatsapp-1", "platform": "whatsapp", "number": "+55 11 3000-0001"} | fields


GOOD: dict[str, Record] = {
    "sends": send(),
    "webhooks": body("statuses", status()),
    "botmaker/sessions": session(),
    "botmaker/sent_results": result(),
    "botmaker/channels": channel(),
}


def odd_records(seed: int, swaps: int = 40) -> list[OddRecord]:
    """Return the records with a known outcome, and for each feed `swaps` records with odd values in random places."""
    rnd = random.Random(seed)
    records = [*_extreme_sends(), *_extreme_webhooks(), *_extreme_items(), *_odd_json(), *_unreadable()]
    records += [_swapped(rnd, feed, number) for feed in FEEDS for number in range(swaps)]
    return records


def _record(feed: str, what: str, record: Any, lands: bool | None) -> OddRecord:
    return OddRecord(feed, what, json.dumps(record).encode(), lands)


def _extreme_sends() -> Iterator[OddRecord]:
    times: list[tuple[Any, bool]] = [
        ("0001-01-03T00:00:00Z", True),
        ("0001-01-02T23:59:59Z", False),
        ("0001-01-01T00:00:00Z", False),
        ("0000-06-01T00:00:00Z", False),
        ("0099-06-01T12:00:00Z", True),
        ("0999-06-01T12:00:00Z", True),
        ("0999-06-01T12:00:00Z", True),
        ("1582-10-10T12:00:00Z", True),
        ("1899-12-31T23:59:59.999999-03:00", True),
        ("9998-12-31T23:59:59Z", True),
        ("9999-12-29T00:00:00Z", True),
        ("9999-12-31T23:59:59-03:00", False),
        ("10000-01-01T00:00:00Z", False),
        (0, True),
        ("0", True),
        (-1, False),
        (1e14, True),
        (1e15, False),
        (10**30, False),
        (0.000001, True),
        ("2026-02-30T00:00:00Z", False),
        ("2026-10-03T10:00:00", False),
        ("", False),
        ([START], False),
        ({"$date": START}, False),
    ]
    for number, (at, lands) in enumerate(times):
        yield _record("sends", f"sent_at {at!r}", send(number, sent_at=at), lands)
    for number, (name, value, lands) in enumerate(_values_of_a_send(), 100):
        yield _record("sends", f"{name} {str(value)[:40]!r}", send(number, **{name: value}), lands)


def _values_of_a_send() -> Iterator[tuple[str, Any, bool | None]]:
    long = "x" * 100_000
    for name in ("message_id", "channel_id", "contact_id"):
        yield from ((name, long, True), (name, "\u0000", None), (name, "\u0001\u001f\u007f\u0085\u2028", True), (name, "\ud83d", True))
        yield from ((name, "", False), (name, "   ", False), (name, None, False), (name, 5, False), (name, ["a"], False))
        yield from ((name, "'; drop table raw.sends; --", True), (name, "../../etc/passwd", True), (name, "🌵" * 50, True))
    yield from (("contact_id", text, True) for text in ("+", "@c.us", "whatsapp:", "0" * 400, "1" * 5000, "9" * 20 + "@s.whatsapp.net"))
    for name in ("template_name", "template_language", "notification_name", "chat_link", "agent_groups", "customer_id", "line_number"):
        yield from (
            (name, long, True),
            (name, "a\u0000b", None),
            (name, "\t\r\n\u2028", True),
            (name, {"a": 1}, False),
            (name, True, False),
        )
    yield from (("line_number", "no digits", True), ("line_number", "1" * 3000, True), ("line_number", 5511400289220, True))
    yield from (("agent_groups", [["a"], {"b": 1}, None, 1.5], None), ("agent_groups", [long] * 3, True))
    for at in ("0001-01-03T00:00:00Z", "9999-12-29T00:00:00Z", "", None, 0):
        yield "customer_created_at", at, True
    yield from (("customer_created_at", at, False) for at in ("never", "0001-01-01T00:00:00Z", [0], 1e300))
    yield from (
        ("error", value, True) for value in ({}, {"code": None}, {"code": 10**18, "title": long}, {"code": "a\tb", "details": "\u0001"})
    )
    yield from (("error", value, False) for value in ("refused", [], 5, False))
    yield from (("error", value, None) for value in ({"code": {"a": [1]}, "title": []}, {"error_data": [1]}, {"message": {"a": 1}}))


def _extreme_webhooks() -> Iterator[OddRecord]:
    bodies: list[tuple[str, Any, bool | None]] = [
        ("an inbound message with the id of a send", body("messages", message(id="wamid.odd0")), True),
        ("an inbound message with the id of an echo", body("messages", message(id="echo.odd")), True),
        ("an echo", body("message_echoes", message(id="echo.odd", to="5511987600000"), field="smb_message_echoes"), True),
        ("an echo with the id of a send", body("message_echoes", message(id="wamid.odd0", to="1"), field="smb_message_echoes"), True),
        ("a message that quotes itself", body("messages", message(context={"id": "in.odd"})), True),
        ("a reaction to itself", body("messages", message(type="reaction", reaction={"message_id": "in.odd", "emoji": "👍"})), True),
        ("a reaction without an object", body("messages", message(type="reaction")), True),
        ("the business as sender and line", body("messages", message(**{"from": "551140028922"})), True),
        ("an unknown type", body("messages", message(type="x" * 10_000)), True),
        ("a message without a sender", body("messages", {"id": "in.none", "timestamp": str(START), "type": "text"}), False),
        ("a message without a line", body("messages", message(), metadata={}), False),
        ("an empty id", body("messages", message(id="")), False),
        ("an empty status", body("statuses", status(status="")), False),
        ("a status of another name", body("statuses", status(status="x" * 10_000)), True),
        ("a status long ago", body("statuses", status(timestamp="0")), True),
        ("a status in the far future", body("statuses", status(timestamp="99999999999")), True),
        ("a status before time", body("statuses", status(timestamp="-1")), False),
        ("a status beyond time", body("statuses", status(timestamp="1e300")), False),
        ("a person known by thousands of user ids", body("messages", *_crowd(3000)), True),
        ("a person connected with itself", body("statuses", status(recipient_user_id="5511987600000")), True),
        ("an empty user id", body("messages", message(from_user_id="", from_parent_user_id=None)), True),
        ("a line that is its own number", body("statuses", status(), metadata={"phone_number_id": "1", "display_phone_number": "1"}), True),
        ("a number of three thousand digits", body("statuses", status(), metadata={"display_phone_number": "9" * 3000}), True),
        ("no entries", {"entry": []}, True),
        ("an empty entry", {"entry": [{}]}, True),
        ("an entry that is not an object", {"entry": [None, 5]}, None),
        ("changes that are not a list", {"entry": [{"changes": {"field": "messages"}}]}, None),
        ("a change that is not an object", {"entry": [{"changes": [[]]}]}, None),
        ("a value that is not an object", {"entry": [{"changes": [{"field": "messages", "value": "x"}]}]}, None),
        ("another field with any value", {"entry": [{"changes": [{"field": "history", "value": [[[]], "x"]}]}]}, None),
        ("a field that is not text", {"entry": [{"changes": [{"field": {"a": 1}, "value": {}}]}]}, None),
        ("standby that is not an object", {"entry": [{"changes": [{"field": "standby", "value": {"standby": []}}]}]}, None),
        ("entries that are not a list", {"entry": {"changes": []}}, False),
        ("no entry", {"object": "whatsapp_business_account"}, False),
        ("contacts that are not a list", body("messages", message(id="in.contacts"), contacts={"wa_id": "1"}), None),
        ("errors that are not a list", body("statuses", status(status="failed", errors={"code": 1})), None),
        ("errors that are not objects", body("statuses", status(status="failed", errors=["bad", 5, None])), None),
        ("a referral that is not an object", body("messages", message(id="in.referral", referral="ad")), None),
        ("a context that is not an object", body("messages", message(id="in.context", context=[])), None),
        ("a notice without identifiers", body("messages", message(type="system", system={"type": "user_changed_number"})), True),
        ("metadata that is not an object", body("statuses", status(), metadata=[1]), None),
    ]
    for what, record, lands in bodies:
        yield _record("webhooks", what, record, lands)


def _crowd(size: int) -> list[Record]:
    return [
        message(id=f"in.crowd{n}", timestamp=str(START + n), from_user_id=f"BR.{n}", from_parent_user_id=f"BR.{n + 1}") for n in range(size)
    ]


def _extreme_items() -> Iterator[OddRecord]:
    ids = session()["chat"]["chat"]
    sessions: list[tuple[str, Any, bool | None]] = [
        ("the year 999", session(id="CHAT1_0999-06-01T12:00:00Z", creationTime="0999-06-01T12:00:00Z"), True),
        ("the year 1", session(id="CHAT1_0001-01-03T00:00:00Z", creationTime="0001-01-03T00:00:00Z"), True),
        ("before all time", session(id="CHAT1_0001-01-01T00:00:00Z", creationTime="0001-01-01T00:00:00Z"), False),
        ("the year 9999", session(id="CHAT1_9999-12-29T00:00:00Z", creationTime="9999-12-29T00:00:00Z"), True),
        ("an id without a time", session(id="_"), True),
        ("an id of underscores", session(id="____"), True),
        ("an id with an impossible time", session(id="CHAT1_2026-02-30T00:00:00Z"), True),
        ("a long id", session(id="y" * 100_000), True),
        ("the id of a send", session(id="wamid.odd0"), True),
        ("no contact", session(chat={"chat": {**ids, "contactId": None}}), True),
        ("an unknown cause", session(startingCause="x" * 10_000), True),
        ("a cause that is not text", session(startingCause={"a": 1}), None),
        ("no events", session(events=None, messages=None), True),
        ("events that are not a list", session(events={}), False),
        ("no chat", {name: value for name, value in session().items() if name != "chat"}, False),
        ("an event that is not an object", session(id="CHAT2_2026-10-03T01:00:00Z", events=["x", None]), None),
        ("a page of nothing", {"items": []}, True),
        ("a page of anything", {"items": [None, 5, "x", []]}, None),
        ("items that are not a list", {"items": {"a": 1}}, None),
    ]
    results: list[tuple[str, Any, bool | None]] = [
        ("no session", result(sessionId=None), True),
        ("a session that never came", result(sessionId="x" * 10_000), True),
        ("times long ago", result(status={"sent": "0001-01-03T00:00:00Z", "read": "9999-12-29T00:00:00Z"}), True),
        ("a status that is not an object", result(status="sent"), False),
        ("nothing", {}, False),
    ]
    channels: list[tuple[str, Any, bool | None]] = [
        ("a number without digits", channel(number="none"), True),
        ("a long number", channel(number="9" * 3000), True),
        ("no id", channel(id=None), False),
        ("a number that is not text", channel(number=[1]), False),
    ]
    for feed, records in (("botmaker/sessions", sessions), ("botmaker/sent_results", results), ("botmaker/channels", channels)):
        for what, record, lands in records:
            yield _record(feed, what, record, lands)


def _odd_json() -> Iterator[OddRecord]:
    """Yield good records with an odd value next to the fields that are read."""
    notes: list[tuple[str, str]] = [
        ("two thousand nested lists and `,]` in a text", '["a ,] b", ' + "[" * 2000 + "]" * 2000 + "]"),
        ("nested lists with a comma before a bracket in a text", "[" * 500 + '",]"' + "]" * 500),
        ("two thousand nested objects", '{"a":' * 2000 + "1" + "}" * 2000),
        ("`}{` in a text", r'"}{ \" }{ \\"'),
        ("an escaped zero", r'"\u0000"'),
        ("half an emoji", r'"\ud83d \ude00\ud83d"'),
        ("a key of half an emoji", r'{"\ud83d": 1}'),
        ("a long text", '"' + "x" * 300_000 + '"'),
        ("a long list", "[" + ",".join(["0"] * 50_000) + "]"),
        ("the largest double", "1.7976931348623157e308"),
        ("the smallest double", "-5e-324"),
        ("a number of 300 digits", "9" * 300),
        ("many digits after the point", "0." + "1" * 1000),
        ("white space", " \t\r [ \t ] "),
    ]
    for feed, record in GOOD.items():
        for number, (what, note) in enumerate(notes):
            text = json.dumps(record).replace("wamid.odd0", f"wamid.note{number}")
            yield OddRecord(feed, what, f'{text[:-1]}, "note": {note}}}'.encode(), lands=True)
        # The first occurrence of a duplicate key counts.
        first, second = json.dumps(record)[1:-1], json.dumps(dict.fromkeys(record))[1:-1]
        yield OddRecord(feed, "every key again, as null", f"{{{first}, {second}}}".encode(), lands=True)
        yield OddRecord(feed, "every key as null before", f"{{{second}, {first}}}".encode(), lands=False)


def _unreadable() -> Iterator[OddRecord]:
    notes = (
        "NaN",
        "Infinity",
        "-Infinity",
        "1e400",
        "-1e400",
        "9" * 400,
        "01",
        "+1",
        ".5",
        "[1,]",
        "{,}",
        "'a'",
        '"\t"',
        r'"\x"',
        r'"\ud83"',
        "nul",
    )
    for feed, record in GOOD.items():
        text = json.dumps(record)
        for note in notes:
            yield OddRecord(feed, f"note {note[:10]}", f'{text[:-1]}, "note": {note}}}'.encode(), lands=False)
        yield OddRecord(feed, "a number", b"5", lands=False)
        yield OddRecord(feed, "a list", f"[{text}]".encode(), lands=False)
        yield OddRecord(feed, "a record as a text", json.dumps(text).encode(), lands=False)
        yield OddRecord(feed, "cut short", text[:-3].encode(), lands=False)
        yield OddRecord(
            feed, "not UTF-8", text.encode().replace(b"odd0", b"\xff").replace(b"CHAT1", b"\xff").replace(b"boti", b"\xff"), lands=False
        )
        yield OddRecord(feed, "half an emoji in UTF-8", text.encode().replace(b'": "', b'": "\xed\xa0\xbd', 1), lands=False)
        yield OddRecord(feed, "only a bracket", b"{", lands=False)


def _swapped(rnd: random.Random, feed: str, number: int) -> OddRecord:
    """Put odd values in one to three random places of a good record."""
    record = json.loads(json.dumps(GOOD[feed]))
    if feed == "sends":
        record["message_id"] = f"wamid.swapped{number}"
    if feed == "webhooks":
        record = body(*rnd.choice([("statuses", status()), ("messages", message(id=f"in.swapped{number}", context={"id": "x"}))]))
    for _ in range(rnd.choice([1, 1, 2, 3])):
        places = list(_places(record))
        container, key = rnd.choice(places)
        container[key] = _odd_value(rnd)
    return _record(feed, f"odd values, {number}", record, None)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield (container, key) for every place in a value."""
    for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from _places(value[key])


def _odd_value(rnd: random.Random) -> Any:
    simple: list[Any] = [
        None,
        True,
        False,
        0,
        -1,
        1.5,
        10**18,
        1e300,
        "",
        " ",
        "x",
        "\u0000",
        "\ud83d",
        "5511987600000",
        str(START),
        [],
        {},
    ]
    value = rnd.choice(simple)
    for _ in range(rnd.choice([0, 0, 0, 1, 2, 200])):
        value = [value] if rnd.random() < 0.5 else {rnd.choice(["id", "status", "entry", "a"]): value}
    return value

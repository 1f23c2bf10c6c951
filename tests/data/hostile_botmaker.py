"""Small Botmaker pages with every kind of fault, many times over, for comparison with the reference."""

import gzip
import json
import random
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

CHANNELS = [
    "boti20-whatsapp-541192929292",
    "108234567890101",
    "boti20-whatsapp-551140028922",
    "lab-line-7",
    "+55 11 4002-8922",
    "boti20-webchat-1",
    "odd-chat",
]
# The first two are people of the hostile logs, in other spellings.
CONTACTS = ["551187650001", "+52 1 55 1234 0003", "5511900000001", "+55 11 90000-0001", "551190000001", "5491190901212", "AR.13490001"]
USER_IDS = ["AR.13490001", "BR.5", "BR.77"]
CHATS = ["CHAT1", "CHAT_2", "CHAT3", "ç=HAT4"]
CAUSES = [
    *("MassNotification", "WhatsAppTemplate", "WhatsAppTemplate", "WhatsAppTemplate"),
    *("ReferredCampaign", "ReferredWebchat", "Organic", "Other", "AgentClicked", None, ""),
    *("Referral", "Referral", "REFERRAL", "referral", "whatsapptemplate", "massnotification"),
]
REASONS = [
    "ReceivedFailedStatus: This message was not delivered to maintain healthy ecosystem engagement. (131049.0)",
    "(#131026) Message undeliverable",
    "(3) tries: experiment ( 130472.0 ), see (the manual)",
    "=IF(1) no such code (999999)",
    "no code at all (none)",
    "()",
    "131049.0",
    " 131026 ",
    "code 131047",
    None,
]
NAMES = ["Black Friday", "Black Friday", "Aviso\tgeral", "=Aviso", None]
MINUTE, HOUR = 60, 3600
START = 1_791_000_000  # 2026-10-03
Item = dict[str, Any] | bytes


@dataclass
class HostileRecords:
    """Items of the three feeds: dictionaries, and lines that are not JSON."""

    sessions: list[Item]
    results: list[Item]
    channels: list[Item]


def hostile_items(seed: int, sessions: int = 60, more_contacts: int = 0) -> HostileRecords:
    """Return items with few people, few times and many ties; a session appears once or several times, with more or fewer of its events.

    With `more_contacts` most people appear in one session only, so that a batch leaves most sessions unchanged.
    """
    rnd = random.Random(seed)
    contacts = CONTACTS + [f"5521{number:08d}" for number in range(more_contacts)]
    session_items: list[Item] = []
    result_items: list[Item] = []
    for number in range(sessions):
        at = START + rnd.randrange(0, 40) * 6 * HOUR + rnd.choice([0, 0, 0, 0.25, 1])
        session = _session(rnd, number, at, contacts)
        session_items += [_repeated(rnd, session, at) for _ in range(rnd.choice([1, 1, 1, 2, 3]))]
        result_items += [_result(rnd, session["id"], at) for _ in range(rnd.choice([0, 0, 0, 1, 1, 2]))]
    result_items += [_result(rnd, f"CHAT9_{_iso(rnd, START + n)}", START + n) for n in range(3)]
    session_items += BAD_SESSIONS
    result_items += RESULTS_WITHOUT_SESSION + BAD_RESULTS
    rnd.shuffle(session_items)
    rnd.shuffle(result_items)
    return HostileRecords(session_items, result_items, [dict(channel) for channel in CHANNEL_ITEMS])


def _iso(rnd: random.Random, at: float) -> str:
    """Write a time with milliseconds, or sometimes without if they are zero."""
    precisions = ["seconds", "milliseconds"] if at == int(at) else ["milliseconds"]
    return datetime.fromtimestamp(at, UTC).isoformat(timespec=rnd.choice(precisions)).replace("+00:00", "Z")


def _moment(rnd: random.Random, at: float) -> float:
    """Return a time in a session that begins at `at`; ties are common."""
    return at + rnd.choice([0, 0, 0, 1, MINUTE, MINUTE, HOUR, HOUR, 30 * HOUR, 0.25])


def _session(rnd: random.Random, number: int, at: float, contacts: list[str]) -> dict[str, Any]:
    chat_id = rnd.choice([*CHATS, *CHATS, f"CHAT{number}"])
    message_ids = [f"bm.{number:03d}.{n}" for n in range(rnd.choice([0, 1, 1, 1, 2, 3]))]
    item: dict[str, Any] = {
        "id": rnd.choice([f"{chat_id}_{_iso(rnd, at)}"] * 12 + [f"odd-{number}", f"odd_{number}"]),
        "creationTime": _iso(rnd, at),
        "startingCause": rnd.choice(CAUSES),
        "chat": _chat(rnd, chat_id, at, contacts),
        "messages": [message for id_ in message_ids for message in _bot_messages(rnd, id_, at)],
        "events": [event for id_ in message_ids for event in _events(rnd, id_, at)],
    }
    if rnd.random() < 0.2:
        item["messages"] += _bot_messages(rnd, f"bm.{number:03d}.bare", at, is_template=True)
    for n in range(rnd.choice([0, 0, 1, 2, 3])):
        sender = rnd.choice(["user", "user", "user", "agent", "bot"])
        content = rnd.choice([{"type": "text", "text": "sí 🌵"}, {"type": "button-click"}, None])
        item["messages"].append(
            {"id": f"in.{number:03d}.{n}", "creationTime": _iso(rnd, _moment(rnd, at)), "from": sender, "content": content}
        )
    if rnd.random() < 0.2:
        template = {"type": "text", "whatsAppTemplateName": "by_an_agent"}
        sender = rnd.choice(["agent", "agent", "user"])
        item["messages"].append(
            {"id": f"ag.{number:03d}", "creationTime": _iso(rnd, _moment(rnd, at)), "from": sender, "content": template}
        )
    if rnd.random() < 0.5:
        item["events"].append({"name": "conversation-close", "creationTime": _iso(rnd, _moment(rnd, at)), "info": None})
        item["events"].append(
            {"name": "notification-sent", "creationTime": _iso(rnd, _moment(rnd, at)), "info": {"whatsappTemplate": "of no message"}}
        )
    return item


def _chat(rnd: random.Random, chat_id: str, at: float, contacts: list[str]) -> dict[str, Any]:
    ids: dict[str, Any] = {"chatId": chat_id, "channelId": rnd.choice(CHANNELS), "contactId": rnd.choice(contacts)}
    if rnd.random() < 0.15:
        # A person with a username may have no number.
        ids["contactId"] = rnd.choice([None, "", " "])
        ids |= rnd.choice([{}, {"userId": rnd.choice(USER_IDS)}])
    chat: dict[str, Any] = {
        "chat": ids,
        "firstName": rnd.choice(["Zé 🌵", 'Ana "A"', "Zé \ud83c", None]),
        "isTester": rnd.random() < 0.1,
    }
    if rnd.random() < 0.7:
        chat["creationTime"] = _iso(rnd, at - rnd.choice([0, 60, 60, 61, 60.25, 59.75, 9 * HOUR, -5]))
    return chat


def _events(rnd: random.Random, message_id: str, at: float) -> list[dict[str, Any]]:
    template = rnd.choice(["oferta", "=SUM(A1)", 'say "hi"', None])
    events = []
    kinds = ["sent", "of-2030", "delivered", "read", "error", "status-error"]
    for kind in rnd.sample(kinds, rnd.choice([0, 1, 1, 2, 2, 3, 4])):
        info: dict[str, Any] = {"messageId": message_id, "agentId": None}
        if rnd.random() < 0.8:
            info["whatsappTemplate"] = template if rnd.random() < 0.9 else "another"
        if "error" in kind:
            info["reason"] = rnd.choice(REASONS)
            info["error"] = rnd.choice([info["reason"], "the error says (131050.0)"])
        events.append({"name": f"notification-{kind}", "creationTime": _iso(rnd, _moment(rnd, at)), "info": info, "sessionId": "x"})
    return events


def _bot_messages(rnd: random.Random, message_id: str, at: float, *, is_template: bool = False) -> list[dict[str, Any]]:
    if not is_template and rnd.random() < 0.4:
        return []
    content: dict[str, Any] = {"type": "text", "text": "olá, tudo bem?"}
    if is_template or rnd.random() < 0.7:
        content["whatsAppTemplateName"] = "from_the_message"
    return [{"id": message_id, "creationTime": _iso(rnd, _moment(rnd, at)), "from": "bot", "content": content}]


def _repeated(rnd: random.Random, session: dict[str, Any], at: float) -> dict[str, Any]:
    """Return a session again: with fewer of its events and messages, in another order, or with other texts."""
    item = json.loads(json.dumps(session))
    for name in ("events", "messages"):
        item[name] = rnd.sample(item[name], len(item[name]) if rnd.random() < 0.5 else rnd.randint(0, len(item[name])))
        if not item[name] and rnd.random() < 0.5:
            item[name] = None
            if rnd.random() < 0.5:
                del item[name]
    for message in item.get("messages") or []:
        if rnd.random() < 0.1:
            message["creationTime"] = _iso(rnd, _moment(rnd, at))
        if rnd.random() < 0.1 and message["content"]:
            message["content"].pop("whatsAppTemplateName", None)
    if not item["id"].startswith("odd"):
        chat_id = item["id"].rpartition("_")[0]
        # It stays the same session, whatever the precision of the time in its id.
        item["id"] = f"{chat_id}_{_iso(rnd, rnd.choice([at, int(at)]))}"
    if rnd.random() < 0.15:
        item["chat"]["isTester"] = not item["chat"]["isTester"]
    if rnd.random() < 0.15:
        item["startingCause"] = rnd.choice(CAUSES)
    if rnd.random() < 0.1:
        item["chat"]["chat"]["contactId"] = rnd.choice(CONTACTS)
    if rnd.random() < 0.05 and item.get("events"):
        item["events"].append(rnd.choice(BAD_EVENTS))
    if rnd.random() < 0.05 and item.get("messages"):
        item["messages"].append(rnd.choice(BAD_MESSAGES))
    return item


def _result(rnd: random.Random, session_id: str, at: float) -> dict[str, Any]:
    if not session_id.startswith("odd"):
        chat_id = session_id.rpartition("_")[0]
        session_id = f"{chat_id}_{_iso(rnd, rnd.choice([at, int(at)]))}"
    known = [name for name in ("sent", "delivered", "read", "answered", "error") if rnd.random() < 0.35]
    times: dict[str, Any] = {name: _iso(rnd, _moment(rnd, at)) for name in known}
    if rnd.random() < 0.2:
        times["error"] = None
    result: dict[str, Any] = {"customerId": "CHAT1", "sessionId": session_id, "contactId": "5511900000001", "lastStatus": "sent"}
    if times or rnd.random() < 0.5:
        result["status"] = times
    name = rnd.choice(NAMES)
    if name is not None:
        result["notificationName"] = name
    return result


BAD_EVENTS: list[Any] = [
    {"creationTime": "2026-10-03T00:00:00Z", "info": {"messageId": "bm.bad"}},
    {"name": "notification-sent", "info": {"messageId": "bm.bad"}},
    {"name": "notification-sent", "creationTime": "soon", "info": {"messageId": "bm.bad"}},
]
BAD_MESSAGES: list[Any] = [
    {"creationTime": "2026-10-03T00:00:00Z", "from": "user"},
    {"id": "in.bad", "from": "user"},
    {"id": "in.bad", "creationTime": "03/10/2026", "from": "user"},
]
_IDS = {"chatId": "CHAT1", "channelId": "boti20-whatsapp-541192929292", "contactId": "5511900000001"}
_GOOD: dict[str, Any] = {
    "id": "CHAT1_2026-10-03T01:02:03Z",
    "creationTime": "2026-10-03T01:02:03Z",
    "startingCause": "WhatsAppTemplate",
    "chat": {"chat": _IDS},
    "events": [],
    "messages": [],
}
BAD_SESSIONS: list[Item] = [
    b'{"id": "CHAT1_2026',
    b"\xff\xfe not text",
    b"null",
    b"7",
    json.dumps(_GOOD).encode()[:-1] + b",}",
    json.dumps({**_GOOD, "note": float("inf")}).encode(),
    json.dumps(_GOOD).encode()[:-1] + b', "note": 1e400}',
    {name: value for name, value in _GOOD.items() if name != "id"},
    {**_GOOD, "id": 5},
    {**_GOOD, "id": " "},
    {name: value for name, value in _GOOD.items() if name != "creationTime"},
    {**_GOOD, "creationTime": "yesterday"},
    {**_GOOD, "creationTime": "2026-10-03"},
    {**_GOOD, "chat": {}},
    {**_GOOD, "chat": {"chat": {name: value for name, value in _IDS.items() if name != "chatId"}}},
    {**_GOOD, "chat": {"chat": {**_IDS, "contactId": ["a"]}}},
    {**_GOOD, "chat": {"chat": {**_IDS, "channelId": ["a"]}}},
    {**_GOOD, "events": {"name": "notification-sent"}},
    {**_GOOD, "messages": "none"},
]
# People who were not reached and therefore have no session: these results land but have no effect.
RESULTS_WITHOUT_SESSION: list[Item] = [
    {"customerId": "CHAT1", "status": {"sent": "2026-10-03T00:00:00Z"}},
    {"sessionId": None, "contactId": "5511900000001", "status": {"error": "2026-10-03T01:02:03Z"}},
]
BAD_RESULTS: list[Item] = [
    b"oops",
    b"[",
    {"sessionId": None, "status": {}},
    {"sessionId": 7},
    {"sessionId": "CHAT1_2026-10-03T01:02:03Z", "status": {"sent": "soon"}},
    {"sessionId": "CHAT1_2026-10-03T01:02:03Z", "status": {"answered": "03/10/2026"}},
]
CHANNEL_ITEMS: list[dict[str, Any]] = [
    {"id": "boti20-whatsapp-541192929292", "platform": "whatsapp", "active": True, "name": "Línea", "number": "+54 11 9292-9292"},
    {"id": "boti20-whatsapp-541192929292", "platform": "whatsapp", "active": True, "number": "541191111111"},
    {"id": "lab-line-7", "platform": "whatsapp", "number": "5411 4990"},
    {"id": "boti20-webchat-1", "platform": "webchat", "active": True, "name": "Web", "number": None},
    {"id": "odd-chat", "platform": "webchat", "name": "A web chat whose id does not say so"},
    # The look-up has this number under another id.
    {"id": "boti20-whatsapp-551140028922", "platform": "whatsapp", "number": "+55 11 4002-8922"},
    {"id": "boti20-telegram-1", "platform": "telegram", "token": "not for us"},
]


def write_items(folder: Path, feed: str, name: str, items: list[Item], rnd: random.Random) -> None:
    """Write items into `folder/botmaker`, mixing every format that the landing zone accepts."""
    lines: list[bytes] = []
    paged: dict[str, list[dict[str, Any]]] = {"page": [], "pretty": [], "array": [], "packed": []}
    for item in items:
        shape = rnd.choice(["line", "line", *paged])
        if isinstance(item, bytes):
            lines.append(item)
        elif shape == "line":
            lines.append(_text(item, ensure_ascii=rnd.random() < 0.5).encode())
        else:
            paged[shape].append(item)
    pages = [_page(feed, part) for part in _parts(feed, paged["page"])]
    lines += [json.dumps(page).encode() for page in pages]
    rnd.shuffle(lines)
    lines.insert(len(lines) // 2, b"")
    target = folder / "botmaker" / feed
    target.mkdir(parents=True, exist_ok=True)
    (target / f"{name}-lines.jsonl").write_bytes(rnd.choice([b"\n", b"\r\n"]).join(lines) + b"\n")
    for number, part in enumerate(_parts(feed, paged["pretty"])):
        (target / f"{name}-{number}-pretty.json").write_text(json.dumps(_page(feed, part), indent=2) + "\n", encoding="utf-8")
    elements = ",\n".join(_text(item, ensure_ascii=False) for item in paged["array"])
    (target / f"{name}-array.json").write_text(f"[\n{elements}\n]\n", encoding="utf-8")
    packed = [json.dumps(_page(feed, part)).encode() + rnd.choice([b"\n", b""]) for part in _parts(feed, paged["packed"])]
    half = len(packed) // 2
    # An archive may have several members.
    members = [b"".join(packed[:half]), b"".join(packed[half:])]
    if rnd.random() < 0.5:
        (target / f"{name}-packed.ndjson.gz").write_bytes(b"".join(gzip.compress(member, mtime=0) for member in members))
    else:
        (target / f"{name}-packed.jsonl.zst").write_bytes(b"".join(zstd(member) for member in members))


def _text(item: dict[str, Any], *, ensure_ascii: bool) -> str:
    """Write an item as JSON; an unpaired surrogate can only be written as an escape."""
    text = json.dumps(item, ensure_ascii=ensure_ascii)
    return text if text.isascii() or "\ud83c" not in text else json.dumps(item)


def zstd(content: bytes) -> bytes:
    packed = pa.Codec("zstd", compression_level=9).compress(content, asbytes=True)
    assert isinstance(packed, bytes)
    return packed


def _parts(feed: str, items: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Split items into pages; the items of a page of sent results share the notification's name."""
    if feed != "sent_results":
        return [items[start : start + 3] for start in range(0, len(items), 3)] + [[]]
    names = sorted({item.get("notificationName") or "" for item in items})
    return [[item for item in items if (item.get("notificationName") or "") == name] for name in names]


def _page(feed: str, items: list[dict[str, Any]]) -> dict[str, Any]:
    if feed != "sent_results" or not items or "notificationName" not in items[0]:
        return {"nextPage": None, "items": items}
    nameless = [{name: value for name, value in item.items() if name != "notificationName"} for item in items]
    return {"nextPage": None, "notification": {"notificationName": items[0]["notificationName"]}, "customers": nameless}

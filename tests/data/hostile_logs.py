"""Small logs in which everything that can go wrong goes wrong, often: for comparison with the reference."""

import json
import random
from pathlib import Path
from typing import Any

# The last but one only looks like the number of a line. The last channel and contacts are two conversations that read the
# same when written one after the other.
CHANNELS = ["108234567890101", "lab-line-7", "+55 11 4002-8922", "lab-webchat-551140028922", "lab-line-7|US.1"]
CONTACTS = ["5511900000001", "+55 11 90000-0001", "5511900000002", "US.13490001", "541150000003", "US.2", "US.1|US.2"]
HOUR = 3600
START = 1_791_000_000  # 2026-10-03


def hostile_records(seed: int, sends: int = 120, more_contacts: int = 0) -> tuple[list[bytes], list[bytes]]:
    """Return lines of a send log and of webhooks: few people, few moments, many ties and repetitions.

    With `more_contacts` most people appear once or twice, so that a batch leaves most conversations alone
    and what it changes in them it changes from afar: by a quote, a status, a line's number.
    """
    rnd = random.Random(seed)
    contacts = CONTACTS + [f"5521{number:08d}" for number in range(more_contacts)]
    # Times meet at whole multiples of six hours, so that exactly 24 h and exact ties are common.
    moment = lambda: START + rnd.randrange(0, 60) * 6 * HOUR + rnd.choice([0, 0, 0, 0, 1, -1])  # noqa: E731
    send_lines, webhook_lines, ids = [], [], [f"wamid.{i:03d}" for i in range(sends)]
    for i in ids:
        for _ in range(rnd.choice([1, 1, 1, 1, 2])):
            send_lines.append(json.dumps(_send(rnd, i, moment(), contacts), ensure_ascii=rnd.random() < 0.5).encode())
    items = [_status(rnd, rnd.choice([*ids, "wamid.elsewhere"]), moment()) for _ in range(sends * 3)]
    items += [_message(rnd, n, ids, moment(), contacts) for n in range(sends // 2)]
    rnd.shuffle(items)
    while items:
        taken, items = items[: rnd.choice([1, 1, 2, 4])], items[rnd.choice([1, 1, 2, 4]) :]
        webhook_lines.append(json.dumps(_body(rnd, taken)).encode())
    send_lines += BAD_SEND_LINES
    webhook_lines += BAD_WEBHOOK_LINES
    return send_lines, webhook_lines


def _send(rnd: random.Random, message_id: str, at: int, contacts: list[str]) -> dict[str, Any]:
    record: dict[str, Any] = {
        "message_id": message_id,
        "sent_at": rnd.choice([at, at * 1000, at * 1000 + rnd.choice([0, 1]), str(at), _iso(at), _iso(at, 3), _iso(at, -3)]),
        "channel_id": rnd.choice(CHANNELS),
        "contact_id": rnd.choice(contacts),
        "template_name": rnd.choice(["welcome", "=SUM(A1)", 'say "hi"', '"quoted"', "tab\there", None, None]),
        "template_language": rnd.choice(["pt_BR", None]),
        "notification_name": rnd.choice(["Black\nFriday", "Black Friday", None, None, ""]),
        "line_number": rnd.choice(["+54 11 5000", "5411-4999", None]),
        "customer_id": rnd.choice(["C-1", "-2+3", None]),
        "agent_groups": rnd.choice(["Sales", "@ops", "\u2028both\u0085lines", ["Sales", "Support"], [], "", None]),
        "chat_link": rnd.choice(["https://example.com/c/1", None]),
    }
    if rnd.random() < 0.5:
        record["customer_created_at"] = _iso(at - rnd.choice([0, 60, 61, 9 * HOUR]))
    if rnd.random() < 0.15:
        record["error"] = rnd.choice(
            [{"code": 131026, "title": "Undeliverable", "details": "no\tWhatsApp"}, {"code": "777"}, {"code": "", "title": "No code"}, {}]
        )
    return record


def _iso(at: int, offset_hours: int = 0) -> str:
    from datetime import UTC, datetime, timedelta, timezone

    zone = timezone(timedelta(hours=offset_hours)) if offset_hours else UTC
    return datetime.fromtimestamp(at, zone).isoformat()


def _status(rnd: random.Random, message_id: str, at: int) -> dict[str, Any]:
    status: dict[str, Any] = {
        "id": message_id,
        "status": rnd.choice(["sent", "delivered", "read", "played", "failed", "failed", "deleted", "never_seen"]),
        "timestamp": rnd.choice([str(at), at]),
        "recipient_id": rnd.choice(CONTACTS),
    }
    if status["status"] == "failed":
        status["errors"] = rnd.choice(
            [
                [{"code": 131049, "title": "Held back", "message": "held", "error_data": {"details": "healthy ecosystem"}}],
                [{"code": 999999, "title": "New"}],
                [{"code": "", "title": "No code"}],
                [{"code": 130472, "title": "Experiment", "message": "+experiment"}],
                [],
            ]
        )
    return {"statuses": status}


def _message(rnd: random.Random, number: int, ids: list[str], at: int, contacts: list[str]) -> dict[str, Any]:
    sender = rnd.choice(contacts)
    message: dict[str, Any] = {
        "id": f"in.{rnd.choice([number, number, number // 2]):03d}",
        "timestamp": str(at),
        "type": rnd.choice(["text", "button", "system", "reaction", "hologram", None]),
        rnd.choice(["from_user_id" if "." in sender else "from"]): sender,
    }
    if rnd.random() < 0.4:
        message["context"] = {"id": rnd.choice([*ids, "wamid.elsewhere"])}
    if rnd.random() < 0.3:
        message["referral"] = {"source_type": rnd.choice(["ad", "post", "unknown"]), "source_id": "1"}
    return {"messages": message}


def _body(rnd: random.Random, items: list[dict[str, Any]]) -> dict[str, Any]:
    changes = []
    for item in items:
        ((kind, content),) = item.items()
        channel = rnd.choice(CHANNELS[:2])
        metadata = rnd.choice(
            [
                {"phone_number_id": channel, "display_phone_number": "5411 4998"},
                {"phone_number_id": channel},
                {"display_phone_number": "55 11 4002 8922"},
            ]
        )
        changes.append({"field": "messages", "value": {"metadata": metadata, kind: [content]}})
    if rnd.random() < 0.2:
        changes.append({"field": "account_update", "value": {"event": "VERIFIED_ACCOUNT"}})
    half = rnd.randrange(len(changes) + 1)
    return {
        "object": "whatsapp_business_account",
        "entry": [{"id": "1", "changes": changes[:half]}, {"id": "2", "changes": changes[half:]}],
    }


_GOOD = {"message_id": "wamid.bad", "sent_at": START, "channel_id": "c", "contact_id": "5511"}
BAD_SEND_LINES = [
    b'{"message_id": "wamid.cut',
    b"\xff\xfe not text",
    b"[1, 2]",
    b"null",
    json.dumps({**_GOOD, "message_id": 5}).encode(),
    json.dumps({**_GOOD, "contact_id": ["5511"]}).encode(),
    json.dumps({**_GOOD, "contact_id": " "}).encode(),
    json.dumps({**_GOOD, "sent_at": "2026-10-03 10:00:00"}).encode(),
    json.dumps({**_GOOD, "sent_at": "2026-10-03"}).encode(),
    json.dumps({**_GOOD, "sent_at": True}).encode(),
    json.dumps({**_GOOD, "template_name": {"name": "x"}}).encode(),
    json.dumps({**_GOOD, "error": "refused"}).encode(),
    json.dumps({**_GOOD, "customer_created_at": "long ago"}).encode(),
    json.dumps({name: value for name, value in _GOOD.items() if name != "channel_id"}).encode(),
    json.dumps(_GOOD).encode()[:-1] + b",}",
]
BAD_WEBHOOK_LINES = [
    b"oops",
    b'{"object": "whatsapp_business_account"}',
    b'{"object": "whatsapp_business_account", "entry": {"changes": []}}',
    b'{"object": "x", "entry": [{"changes": [{"field": "messages", "value": {"metadata": {"phone_number_id": "lab-line-7"}, '
    b'"statuses": [{"id": "wamid.001", "status": "read"}, {"id": "wamid.002", "status": "read", "timestamp": "1791100000"}]}}]}]}',
]


def write_files(folder: Path, feed: str, name: str, lines: list[bytes], ending: bytes = b"\n") -> Path:
    path = folder / feed / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(ending.join(lines) + ending)
    return path

"""The contract, computed a second time in plain Python and without a look at the SQL.

Slow, simple and literal: one record after the other, one rule after the other. The whole-run tests
hold every row of the marts and every cell of the TSVs against it.
"""

import csv
import hashlib
import json
import re
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

ROOT = Path(__file__).resolve().parent.parent
SESSION_TIMEOUT = timedelta(hours=24)
REPLY_WINDOW = timedelta(hours=24)
NEW_USER_TOLERANCE = timedelta(seconds=60)
IN_REPORT = {"mass_notification", "whatsapp_template", "referred_campaign", "referred_webchat"}
KEYS = ("session_start_date", "origin", "channel_id", "line_number", "template_name", "notification_name", "user_type")


class RejectedError(Exception):
    pass


@dataclass
class Expected:
    """What the marts must hold: lists of rows as dictionaries by column."""

    session_starts: list[dict[str, Any]] = field(default_factory=list)
    notifications: list[dict[str, Any]] = field(default_factory=list)
    rejected: list[tuple[str, int]] = field(default_factory=list)


def seed(name: str) -> list[dict[str, str]]:
    with (ROOT / "seeds" / "lookups" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def parse_time(value: Any) -> datetime:
    if isinstance(value, bool):
        raise RejectedError("time")
    if isinstance(value, str) and re.fullmatch(r"-?\d+(\.\d+)?", value):
        value = float(value) if "." in value else int(value)
    if isinstance(value, int | float):
        scale = 1_000_000 if abs(value) < 1e11 else 1_000
        return datetime(1970, 1, 1) + timedelta(microseconds=round(value * scale))
    if isinstance(value, str):
        try:
            time = datetime.fromisoformat(value)
        except ValueError as error:
            raise RejectedError("time") from error
        if time.tzinfo is None or len(value) < 15:
            raise RejectedError("time")
        return time.astimezone(UTC).replace(tzinfo=None)
    raise RejectedError("time")


def identifier(text: str) -> str:
    return re.sub(r"\D", "", text) if re.fullmatch(r"[+0-9 ().-]*[0-9][+0-9 ().-]*", text) else text


def lines_of(path: Path) -> list[tuple[int, bytes]]:
    text = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    lines = [(number, line.removesuffix(b"\r")) for number, line in enumerate(text.split(b"\n"), 1)]
    return [(number, line) for number, line in lines if line]


def parse_json(line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line.decode())
    except ValueError as error:
        raise RejectedError("json") from error
    if not isinstance(value, dict):
        raise RejectedError("object")
    return value


def parse_send(line: bytes) -> dict[str, Any]:
    record = parse_json(line)
    for name in ("message_id", "channel_id", "contact_id"):
        if not isinstance(record.get(name), str) or not record[name].strip():
            raise RejectedError(name)
    for name in ("template_name", "template_language", "notification_name", "chat_link"):
        if not isinstance(record.get(name), str | None):
            raise RejectedError(name)
    error = record.get("error")
    if not isinstance(error, dict | None):
        raise RejectedError("error")
    created = record.get("customer_created_at")
    return {
        **{
            name: record.get(name) or None
            for name in ("template_name", "template_language", "notification_name", "customer_id", "agent_groups", "chat_link")
        },
        "message_id": record["message_id"],
        "at": parse_time(record.get("sent_at")),
        "channel_id": record["channel_id"],
        "contact_id": identifier(record["contact_id"]),
        "line": re.sub(r"\D", "", str(record.get("line_number") or "")),
        "created": parse_time(created) if created else None,
        "error": None if error is None else (_text(error.get("code")), error.get("details") or error.get("title") or None),
        "md5": hashlib.md5(line).hexdigest(),
    }


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def parse_webhook(line: bytes) -> tuple[list[dict[str, Any]], list[dict[str, Any]], bool]:
    """Return the statuses and messages of a body, and whether something in it could not be read."""
    body = parse_json(line)
    if not isinstance(body.get("entry"), list):
        raise RejectedError("entry")
    statuses, messages, is_whole = [], [], True
    digest = hashlib.md5(line).hexdigest()
    for entry in body["entry"]:
        for change in entry.get("changes") or []:
            value = change.get("value") or {}
            metadata = value.get("metadata") or {}
            line_number = re.sub(r"\D", "", metadata.get("display_phone_number") or "")
            for item in value.get("statuses") or []:
                try:
                    if not item.get("id") or not item.get("status"):
                        raise RejectedError("status")
                    errors = item.get("errors") or [{}]
                    error = errors[0]
                    detail = (error.get("error_data") or {}).get("details") or error.get("message") or error.get("title") or None
                    statuses.append(
                        {
                            "id": str(item["id"]),
                            "status": item["status"],
                            "at": parse_time(item.get("timestamp")),
                            "code": _text(error.get("code")),
                            "detail": detail,
                            "md5": digest,
                            "channel_id": metadata.get("phone_number_id"),
                            "line": line_number,
                        }
                    )
                except RejectedError:
                    is_whole = False
            contacts = value.get("contacts") or []
            for item in value.get("messages") or []:
                try:
                    sender = item.get("from") or item.get("from_user_id") or item.get("user_id")
                    if not sender and len(contacts) == 1:
                        sender = contacts[0].get("wa_id") or contacts[0].get("user_id")
                    channel = metadata.get("phone_number_id") or line_number
                    if not item.get("id") or not sender or not channel:
                        raise RejectedError("message")
                    messages.append(
                        {
                            "id": str(item["id"]),
                            "at": parse_time(item.get("timestamp")),
                            "type": item.get("type") or "unknown",
                            "contact_id": identifier(str(sender)),
                            "channel_id": channel,
                            "line": line_number,
                            "context": (item.get("context") or {}).get("id"),
                            "referral": item.get("referral"),
                            "md5": digest,
                        }
                    )
                except RejectedError:
                    is_whole = False
    return statuses, messages, is_whole


def compute(landing: Path, time_zone: str = "America/Sao_Paulo") -> Expected:
    """Compute the marts of plain files in a landing zone, all at once."""
    expected = Expected()
    sends, statuses, messages = _read(landing, expected)
    channels = {row["channel_id"]: row for row in seed("channels")}
    by_line = {re.sub(r"\D", "", row["line_number"]): row["channel_id"] for row in reversed(seed("channels"))}

    def channel_of(record: dict[str, Any]) -> str:
        given = record["channel_id"] or ""
        if given in channels:
            return given
        return by_line.get(re.sub(r"\D", "", given)) or by_line.get(record["line"]) or given or record["line"]

    lines_seen: dict[str, set[str]] = defaultdict(set)
    known = {"sent", "delivered", "read", "played", "failed"}
    for record in [*sends, *messages, *(status for status in statuses if status["status"] in known)]:
        record["channel_id"] = channel_of(record)
        if record["line"]:
            lines_seen[record["channel_id"]].add(record["line"])

    unique_sends: dict[str, dict[str, Any]] = {}
    for send in sorted(sends, key=lambda s: (s["at"], s["md5"])):
        unique_sends.setdefault(send["message_id"], send)
    unique_messages: dict[str, dict[str, Any]] = {}
    for message in sorted(messages, key=lambda m: (m["at"], m["md5"])):
        unique_messages.setdefault(message["id"], message)
    answers = {row["message_type"]: row["is_answer"] == "true" for row in seed("inbound_message_types")}

    status_of: dict[str, dict[str, Any]] = defaultdict(dict)
    for status in sorted(statuses, key=lambda s: (s["at"], s["md5"])):
        status_of[status["id"]].setdefault(status["status"], status)
    quoted: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for message in unique_messages.values():
        if message["context"]:
            quoted[message["context"]].append(message)

    for send in unique_sends.values():
        seen = status_of[send["message_id"]]
        reads = [seen[kind]["at"] for kind in ("read", "played") if kind in seen]
        send["delivered_at"] = seen["delivered"]["at"] if "delivered" in seen else None
        send["read_at"] = min(reads) if reads else None
        send["failed_at"] = seen["failed"]["at"] if "failed" in seen else None
        send["has_sent"] = "sent" in seen
        send["not_sent"] = (
            (send["error"] is not None or "failed" in seen) and not send["delivered_at"] and not reads and not quoted[send["message_id"]]
        )
        send["is_notification"] = bool(send["template_name"] or send["notification_name"])
        failures = []
        if send["error"] is not None:
            failures.append((send["at"], 0, *send["error"]))
        if "failed" in seen:
            failures.append((seen["failed"]["at"], 1, seen["failed"]["code"], seen["failed"]["detail"]))
        send["failure"] = min(failures, key=lambda f: f[:2])[2:] if failures and send["not_sent"] else (None, None)
        send["replies"] = []

    conversations: dict[tuple[str, str], dict[str, list[Any]]] = defaultdict(lambda: {"sends": [], "messages": []})
    for send in unique_sends.values():
        conversations[send["channel_id"], send["contact_id"]]["sends"].append(send)
    for message in unique_messages.values():
        conversations[message["channel_id"], message["contact_id"]]["messages"].append(message)

    for (channel_id, contact_id), conversation in conversations.items():
        _attribute_replies(conversation, unique_sends, answers)
        _find_sessions(conversation)
        del channel_id, contact_id
    zone = ZoneInfo(time_zone)
    reasons = {row["failure_code"]: row for row in seed("failure_reasons")}
    for (channel_id, contact_id), conversation in conversations.items():
        seen = lines_seen[channel_id]
        channel = channels.get(channel_id, {})
        base = {
            "channel_id": channel_id,
            "contact_id": contact_id,
            "channel_name": channel.get("channel_name") or None,
            "line_number": re.sub(r"\D", "", channel.get("line_number", "")) or (min(seen) if seen else None),
            "source": "logs",
        }
        for send in conversation["sends"]:
            row = {**base, **_send_row(send, reasons, zone)}
            if send["is_notification"]:
                expected.notifications.append({**row, "is_in_report": row["is_session_start"]})
            if row.pop("is_session_start"):
                expected.session_starts.append({**row, "is_in_report": row["origin"] in IN_REPORT})
        for session in conversation["sessions"]:
            if not session["by_send"]:
                expected.session_starts.append({**base, **_inbound_row(session, zone, channel)})
    return expected


def _read(landing: Path, expected: Expected) -> tuple[list[Any], list[Any], list[Any]]:
    sends, statuses, messages = [], [], []
    seen: set[tuple[str, str]] = set()
    for feed in ("sends", "webhooks"):
        for path in sorted((landing / feed).rglob("*.jsonl")):
            content = (feed, hashlib.sha256(path.read_bytes()).hexdigest())
            if content in seen:
                continue
            seen.add(content)
            for number, line in lines_of(path):
                try:
                    if feed == "sends":
                        sends.append(parse_send(line))
                        continue
                    new_statuses, new_messages, is_whole = parse_webhook(line)
                    statuses += new_statuses
                    messages += new_messages
                    if not is_whole:
                        raise RejectedError("part of a body")
                except RejectedError:
                    expected.rejected.append((path.relative_to(landing).as_posix(), number))
    return sends, statuses, messages


def _attribute_replies(conversation: dict[str, list[Any]], sends: dict[str, Any], answers: dict[str, bool]) -> None:
    for message in conversation["messages"]:
        if not answers.get(message["type"], True):
            continue
        if message["context"] in sends:
            sends[message["context"]]["replies"].append(message["at"])
            continue
        candidates = [
            send
            for send in conversation["sends"]
            if send["is_notification"] and not send["not_sent"] and timedelta(0) <= message["at"] - send["at"] <= REPLY_WINDOW
        ]
        if candidates:
            max(candidates, key=lambda s: (s["at"], s["message_id"]))["replies"].append(message["at"])


def _find_sessions(conversation: dict[str, list[Any]]) -> None:
    activities = [(message["at"], 0, message["id"], message) for message in conversation["messages"]]
    activities += [(send["at"], 1, send["message_id"], send) for send in conversation["sends"] if not send["not_sent"]]
    activities.sort(key=lambda a: a[:3])
    sessions: list[dict[str, Any]] = []
    previous = None
    for at, kind, id_, record in activities:
        if previous is None or at - previous > SESSION_TIMEOUT:
            sessions.append({"id": id_, "at": at, "by_send": kind == 1, "record": record, "is_first": not sessions})
        record["session"] = sessions[-1]
        previous = at
    for send in conversation["sends"]:
        if send["not_sent"]:
            before = [at for at, *_ in activities if at <= send["at"]]
            send["is_attempt"] = not before or send["at"] - max(before) > SESSION_TIMEOUT
            open_sessions = [session for session in sessions if session["at"] <= send["at"]]
            send["session"] = None if send["is_attempt"] else open_sessions[-1]
            send["is_first"] = not open_sessions
    conversation["sessions"] = sessions


def _day(at: datetime, zone: ZoneInfo) -> Any:
    return at.replace(tzinfo=UTC).astimezone(zone).date()


def _send_row(send: dict[str, Any], reasons: dict[str, Any], zone: ZoneInfo) -> dict[str, Any]:
    session = send["session"]
    started_at = session["at"] if session else send["at"]
    is_first = session["is_first"] if session else send["is_first"]
    replied_at = min(send["replies"]) if send["replies"] else None
    is_read = bool(send["read_at"] or replied_at)
    is_delivered = bool(send["delivered_at"] or is_read)
    is_sent = bool(send["has_sent"] or is_delivered) and not send["not_sent"]
    last_status = next(
        name
        for name, holds in (
            ("not_sent", send["not_sent"]),
            ("replied", replied_at),
            ("read", is_read),
            ("delivered", is_delivered),
            ("sent", is_sent),
            ("pending", True),
        )
        if holds
    )
    code, detail = send["failure"]
    reason = reasons.get(code or "unknown", reasons["unknown"])
    is_returning = not is_first or (send["created"] is not None and started_at - send["created"] > NEW_USER_TOLERANCE)
    return {
        "session_start_id": session["id"] if session else send["message_id"],
        "session_id": session["id"] if session else None,
        "session_started_at": started_at,
        "session_start_date": _day(started_at, zone),
        "origin": "mass_notification" if send["notification_name"] else "whatsapp_template" if send["template_name"] else "other",
        "customer_id": send["customer_id"],
        "user_type": "returning" if is_returning else "new",
        "message_id": send["message_id"],
        "template_name": send["template_name"],
        "template_language": send["template_language"],
        "notification_name": send["notification_name"],
        "sent_at": send["at"],
        "delivered_at": send["delivered_at"],
        "read_at": send["read_at"],
        "replied_at": replied_at,
        "failed_at": send["failed_at"],
        "is_not_sent": send["not_sent"],
        "is_sent": is_sent,
        "is_delivered": is_delivered,
        "is_read": is_read,
        "is_replied": replied_at is not None,
        "last_status": last_status,
        "failure_code": code,
        "failure_group": reason["failure_group"] if send["not_sent"] else None,
        "failure_reason": reason["label_en"] if send["not_sent"] else None,
        "failure_detail": detail,
        "agent_groups": send["agent_groups"],
        "chat_link": send["chat_link"],
        "is_session_start": session is None or (session["by_send"] and session["record"] is send),
    }


def _inbound_row(session: dict[str, Any], zone: ZoneInfo, channel: dict[str, str]) -> dict[str, Any]:
    referral = session["record"]["referral"]
    origin = "organic"
    if referral and channel.get("platform") == "webchat":
        origin = "referred_webchat"
    elif referral and referral.get("source_type") in ("ad", "post"):
        origin = "referred_campaign"
    nothing = dict.fromkeys(
        (
            *("customer_id", "message_id", "template_name", "template_language", "notification_name", "sent_at", "delivered_at"),
            *("read_at", "replied_at", "failed_at", "is_replied", "last_status", "failure_code", "failure_group", "failure_reason"),
            *("failure_detail", "agent_groups", "chat_link"),
        )
    )
    return {
        **nothing,
        "session_start_id": session["id"],
        "session_id": session["id"],
        "session_started_at": session["at"],
        "session_start_date": _day(session["at"], zone),
        "origin": origin,
        "is_in_report": origin in IN_REPORT,
        "user_type": "new" if session["is_first"] else "returning",
        "is_not_sent": False,
        "is_sent": False,
        "is_delivered": False,
        "is_read": False,
    }


def funnel(starts: list[dict[str, Any]]) -> dict[tuple[Any, ...], int]:
    """Count the funnel from session starts: (keys…, stage_order, stage) → notifications."""
    counts: dict[tuple[Any, ...], int] = {}
    stages = (("is_sent", "sent"), ("is_delivered", "delivered"), ("is_read", "read"), ("is_replied", "replied"))
    for row in starts:
        if row["is_in_report"] and row["is_sent"]:
            for order, (flag, stage) in enumerate(stages, 1):
                cell = (*(row[key] for key in KEYS), order, stage)
                counts[cell] = counts.get(cell, 0) + bool(row[flag])
    return counts


def statuses(starts: list[dict[str, Any]]) -> dict[tuple[Any, ...], int]:
    """Count the sends in the report by last status: (keys…, last_status) → notifications."""
    counts: dict[tuple[Any, ...], int] = defaultdict(int)
    for row in starts:
        if row["is_in_report"] and row["message_id"] is not None:
            counts[(*(row[key] for key in KEYS), row["last_status"])] += 1
    return dict(counts)


def tsv_cell(value: Any, zone: ZoneInfo) -> str:
    """Write a value as the cell that a reader of the TSV must get back."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC).astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")
    text = re.sub("[\x00-\x1f\x7f-\x9f\u2028\u2029]", " ", value)
    if re.match("[\\s\u00a0\u3000]*[=+\\-@＝＋－＠]", text) and not re.fullmatch(r"[+-]?[0-9][0-9.,]*", text):
        return "'" + text
    return text


TSV_FIELDS = (
    *("customer_id", "contact_id", "session_started_at", "channel_id", "is_new_user", "template_or_notification_name"),
    *("is_not_sent", "is_sent", "is_delivered", "is_read", "is_replied", "failure_reason", "failure_detail"),
    *("sent_at", "delivered_at", "read_at", "replied_at", "agent_groups"),
    *("last_status", "origin", "line_number", "failure_code", "session_start_id", "chat_link"),
)


def tsv_rows(starts: list[dict[str, Any]], time_zone: str = "America/Sao_Paulo") -> dict[str, list[list[str]]]:
    """Return the cells of every daily TSV, by the day in its name."""
    zone = ZoneInfo(time_zone)
    days: dict[str, list[list[str]]] = defaultdict(list)
    ordered = sorted(starts, key=lambda r: (r["sent_at"] is None, r["sent_at"] or datetime.min, r["session_start_id"]))
    for row in ordered:
        if row["is_in_report"]:
            told = {
                **row,
                "is_new_user": row["user_type"] == "new",
                "template_or_notification_name": row["notification_name"] or row["template_name"],
            }
            days[str(row["session_start_date"])].append([tsv_cell(told[name], zone) for name in TSV_FIELDS])
    return dict(days)

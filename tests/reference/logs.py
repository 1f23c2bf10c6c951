"""The send log and WhatsApp's webhooks (contract, sections 2 to 4)."""

import hashlib
import re
from collections import defaultdict
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from tests.reference.contract import (
    IN_REPORT,
    NEW_USER_TOLERANCE,
    NO_SEND,
    Expected,
    Lines,
    RejectedError,
    day_of,
    identifier,
    last_status,
    parse_json,
    parse_time,
    reason_of,
    seed,
    text_of,
)
from tests.reference.files import Zone

SESSION_TIMEOUT = timedelta(hours=24)
REPLY_WINDOW = timedelta(hours=24)


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
    groups = record.get("agent_groups")
    return {
        **{
            name: record.get(name) or None
            for name in ("template_name", "template_language", "notification_name", "customer_id", "chat_link")
        },
        "agent_groups": (", ".join(groups) if isinstance(groups, list) else groups) or None,
        "message_id": record["message_id"],
        "at": parse_time(record.get("sent_at")),
        "channel_id": record["channel_id"],
        "contact_id": identifier(record["contact_id"]),
        "line": re.sub(r"\D", "", str(record.get("line_number") or "")),
        "created": parse_time(created) if created else None,
        "error": None if error is None else (text_of(error.get("code")) or None, error.get("details") or error.get("title") or None),
        "md5": hashlib.md5(line).hexdigest(),
    }


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
                            "code": text_of(error.get("code")) or None,
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


Records = tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]


def read(landing: Zone, lines: Lines, expected: Expected) -> Records:
    """Read the sends, statuses and messages of a landing zone, each with the channel it means."""
    sends, statuses, messages = [], [], []
    for content in landing.contents("sends"):
        for number, line in content.records:
            try:
                sends.append(parse_send(line))
            except RejectedError:
                content.reject(number)
        content.count(expected)
    for content in landing.contents("webhooks"):
        for number, line in content.records:
            try:
                new_statuses, new_messages, is_whole = parse_webhook(line)
                statuses += new_statuses
                messages += new_messages
                if not is_whole:
                    raise RejectedError("part of a body")
            except RejectedError:
                content.reject(number)
        content.count(expected)
    known = {"sent", "delivered", "read", "played", "failed"}
    for record in [*sends, *messages, *(status for status in statuses if status["status"] in known)]:
        record["channel_id"] = lines.see(record["channel_id"], record["line"])
    return sends, statuses, messages


def compute(records: Records, lines: Lines, zone: ZoneInfo, expected: Expected) -> None:
    """Add the rows of the facts that the records make."""
    sends, statuses, messages = records
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

    conversations: dict[tuple[str, str], dict[str, Any]] = defaultdict(lambda: {"sends": [], "messages": []})
    for send in unique_sends.values():
        conversations[send["channel_id"], send["contact_id"]]["sends"].append(send)
    for message in unique_messages.values():
        conversations[message["channel_id"], message["contact_id"]]["messages"].append(message)

    for (channel_id, contact_id), conversation in conversations.items():
        _attribute_replies(conversation, unique_sends, answers)
        _find_sessions(conversation)
        conversation["base"] = {**lines.describe(channel_id), "contact_id": contact_id, "source": "logs"}
    for conversation in conversations.values():
        base = conversation["base"]
        for send in conversation["sends"]:
            row = {**base, **_send_row(send, zone)}
            if send["is_notification"]:
                expected.notifications.append({**row, "is_in_report": row["is_session_start"]})
            if row.pop("is_session_start"):
                expected.session_starts.append({**row, "is_in_report": row["origin"] in IN_REPORT})
        for session in conversation["sessions"]:
            if not session["by_send"]:
                expected.session_starts.append({**base, **_inbound_row(session, zone, lines)})


def _attribute_replies(conversation: dict[str, Any], sends: dict[str, Any], answers: dict[str, bool]) -> None:
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


def _find_sessions(conversation: dict[str, Any]) -> None:
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


def _send_row(send: dict[str, Any], zone: ZoneInfo) -> dict[str, Any]:
    session = send["session"]
    started_at = session["at"] if session else send["at"]
    is_first = session["is_first"] if session else send["is_first"]
    replied_at = min(send["replies"]) if send["replies"] else None
    is_read = bool(send["read_at"] or replied_at)
    is_delivered = bool(send["delivered_at"] or is_read)
    is_sent = bool(send["has_sent"] or is_delivered) and not send["not_sent"]
    code, detail = send["failure"]
    reason = reason_of(code)
    is_returning = not is_first or (send["created"] is not None and started_at - send["created"] > NEW_USER_TOLERANCE)
    row = {
        "session_start_id": session["id"] if session else send["message_id"],
        "session_id": session["id"] if session else None,
        "session_started_at": started_at,
        "session_start_date": day_of(started_at, zone),
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
        "failure_code": code,
        "failure_group": reason["failure_group"] if send["not_sent"] else None,
        "failure_reason": reason["label_en"] if send["not_sent"] else None,
        "failure_detail": detail,
        "agent_groups": send["agent_groups"],
        "chat_link": send["chat_link"],
        "is_session_start": session is None or (session["by_send"] and session["record"] is send),
    }
    return row | {"last_status": last_status(row)}


def _inbound_row(session: dict[str, Any], zone: ZoneInfo, lines: Lines) -> dict[str, Any]:
    record = session["record"]
    origin = "organic"
    if record["referral"] is not None and lines.known.get(record["channel_id"], {}).get("platform") == "webchat":
        origin = "referred_webchat"
    elif record["referral"] and record["referral"].get("source_type") in ("ad", "post"):
        origin = "referred_campaign"
    return {
        **NO_SEND,
        **dict.fromkeys(("customer_id", "agent_groups", "chat_link")),
        "session_start_id": session["id"],
        "session_id": session["id"],
        "session_started_at": session["at"],
        "session_start_date": day_of(session["at"], zone),
        "origin": origin,
        "is_in_report": origin in IN_REPORT,
        "user_type": "new" if session["is_first"] else "returning",
    }

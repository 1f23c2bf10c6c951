"""Botmaker's sessions, sent results and channels (contract, sections 2 to 4, above all 4.6)."""

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
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
)
from tests.reference.files import Content, Zone

STATUS_OF = {
    "notification-sent": "sent",
    "notification-delivered": "delivered",
    "notification-read": "read",
    "notification-error": "error",
    "notification-status-error": "error",
}
PUSHES = {"mass_notification", "whatsapp_template"}
RESULT_TIMES = ("sent", "delivered", "read", "answered", "error")
Key = tuple[Any, ...]


@dataclass
class Session:
    """What all items of one session say together."""

    said: list[tuple[int, str, dict[str, Any]]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)
    results: list[dict[str, Any]] = field(default_factory=list)

    @property
    def spoken(self) -> dict[str, Any]:
        """What is said once per session: by the fullest item, then by the greatest md5."""
        return max(self.said, key=lambda said: said[:2])[2]


def session_key(session_id: str) -> Key:
    """Return the chat and the second, or the id itself where it does not hold the two."""
    chat, _, time = session_id.rpartition("_")
    try:
        return (chat, _iso(time).replace(microsecond=0)) if chat else (session_id,)
    except RejectedError:
        return (session_id,)


def read(landing: Zone, lines: Lines, expected: Expected) -> dict[Key, Session]:
    """Read all sessions, with the sent results that name them, and note the numbers of the channels."""
    sessions: dict[Key, Session] = defaultdict(Session)
    for item in _items(landing, "botmaker/channels", expected, ("items",)):
        record = item.record()
        lines.see(record["id"], re.sub(r"\D", "", record.get("number") or ""))
    for item in _items(landing, "botmaker/sessions", expected, ("items",)):
        try:
            _take_session(item, sessions)
        except RejectedError:
            item.reject()
    results: dict[Key, list[dict[str, Any]]] = defaultdict(list)
    for item in _items(landing, "botmaker/sent_results", expected, ("items", "customers")):
        try:
            key, result = _result(item)
            if key is not None:
                results[key].append(result)
        except RejectedError:
            item.reject()
    for key, session in sessions.items():
        session.results = results[key]
        spoken = session.spoken
        spoken["channel_id"] = lines.see(spoken["channel_id"], "")
    return dict(sessions)


@dataclass
class _Item:
    """One item: a line of its own (`text`), or an item of a page, with what the page says of all its items."""

    content: Content
    line_number: int
    text: bytes
    page: dict[str, Any]

    def record(self) -> dict[str, Any]:
        return parse_json(self.text)

    def reject(self) -> None:
        self.content.reject(self.line_number)


def _items(landing: Zone, feed: str, expected: Expected, lists: tuple[str, ...]) -> Iterator[_Item]:
    for content in landing.contents(feed):
        content.size = 0
        for line_number, text in content.records:
            for item in _items_of(content, line_number, text, lists):
                content.size += 1
                yield item
        content.count(expected)


def _items_of(content: Content, line_number: int, text: bytes, lists: tuple[str, ...]) -> list[_Item]:
    try:
        record = parse_json(text)
    except RejectedError:
        return [_Item(content, line_number, text, {})]
    for name in lists:
        if isinstance(record.get(name), list):
            return [_Item(content, line_number, minified(item), record) for item in record[name]]
    return [_Item(content, line_number, text, {})]


def minified(value: Any) -> bytes:
    """Write JSON as DuckDB extracts it: no spaces, no escapes that are not needed."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _take_session(item: _Item, sessions: dict[Key, Session]) -> None:
    """Merge an item into its session; what is good of it counts, also where an event of it is not."""
    record = item.record()
    chat = _object(record, "chat")
    ids = _object(chat, "chat")
    session_id, chat_id = _text(record, "id"), _text(ids, "chatId")
    channel_id, contact_id = _text(ids, "channelId"), _text(ids, "contactId")
    created_at = _iso(record.get("creationTime"))
    customer_created_at = _iso(chat["creationTime"]) if chat.get("creationTime") else None
    events, messages = _list(record, "events"), _list(record, "messages")
    session = sessions[session_key(session_id)]
    is_whole = True
    for event in events:
        try:
            session.events.append({"name": _text(event, "name"), "at": _iso(event.get("creationTime")), "info": event.get("info") or {}})
        except RejectedError:
            is_whole = False
    for message in messages:
        try:
            content = message.get("content") or {}
            session.messages.append(
                {
                    "id": _text(message, "id"),
                    "at": _iso(message.get("creationTime")),
                    "from": message.get("from"),
                    "template": content.get("whatsAppTemplateName") or None,
                }
            )
        except RejectedError:
            is_whole = False
    said = {
        "id": session_id,
        "at": created_at,
        "cause": record.get("startingCause"),
        "channel_id": channel_id,
        "contact_id": identifier(contact_id),
        "chat_id": chat_id,
        "customer_created_at": customer_created_at,
        "is_tester": chat.get("isTester") is True,
    }
    session.said.append((len(events) + len(messages), hashlib.md5(item.text).hexdigest(), said))
    if not is_whole:
        raise RejectedError("part of an item")


def _result(item: _Item) -> tuple[Key | None, dict[str, Any]]:
    """Return the session that a sent result names, if any, and what it says."""
    record = item.record()
    status = record.get("status") or {}
    times = {name: _iso(status[name]) if status.get(name) is not None else None for name in RESULT_TIMES}
    page = item.page.get("notification") or {}
    own = record.get("notification") or {}
    name = page.get("notificationName") or record.get("notificationName") or own.get("notificationName") or None
    session_id = record.get("sessionId")
    if not isinstance(session_id, str | None):
        raise RejectedError("sessionId")
    if not (session_id or "").strip():
        if record.get("customerId") is None and record.get("contactId") is None:
            raise RejectedError("sessionId")
        return None, {}
    return session_key(str(session_id)), {**times, "name": name}


def _object(record: dict[str, Any], name: str) -> dict[str, Any]:
    if not isinstance(record.get(name), dict):
        raise RejectedError(name)
    return record[name]


def _list(record: dict[str, Any], name: str) -> list[Any]:
    if record.get(name) is None:
        return []
    if not isinstance(record[name], list):
        raise RejectedError(name)
    return record[name]


def _text(record: Any, name: str) -> str:
    value = record.get(name) if isinstance(record, dict) else None
    if not isinstance(value, str) or not value.strip():
        raise RejectedError(name)
    return value


def _iso(value: Any) -> datetime:
    if not isinstance(value, str) or "-" not in value.strip("-"):
        raise RejectedError("time")
    return parse_time(value)


def earliest(*times: datetime | None) -> datetime | None:
    return min((time for time in times if time is not None), default=None)


def compute(sessions: dict[Key, Session], lines: Lines, zone: ZoneInfo, expected: Expected, *, include_testers: bool = False) -> None:
    """Add the rows of the facts that the sessions make."""
    told = [session for session in sessions.values() if include_testers or not session.spoken["is_tester"]]
    first_at: dict[tuple[str, str], datetime] = {}
    for session in told:
        user = (session.spoken["channel_id"], session.spoken["contact_id"])
        first_at[user] = min(first_at.get(user, session.spoken["at"]), session.spoken["at"])
    causes = {row["starting_cause"]: row["origin"] for row in seed("starting_causes")}
    for session in told:
        spoken = session.spoken
        created_at = spoken["customer_created_at"]
        is_returning = spoken["at"] > first_at[spoken["channel_id"], spoken["contact_id"]] or (
            created_at is not None and spoken["at"] - created_at > NEW_USER_TOLERANCE
        )
        origin = "mass_notification" if session.results else causes.get(spoken["cause"], "other")
        base = {
            **lines.describe(spoken["channel_id"]),
            "contact_id": spoken["contact_id"],
            "session_start_id": spoken["id"],
            "session_id": spoken["id"],
            "session_started_at": spoken["at"],
            "session_start_date": day_of(spoken["at"], zone),
            "customer_id": spoken["chat_id"],
            "user_type": "returning" if is_returning else "new",
            "agent_groups": None,
            "chat_link": f"https://go.botmaker.com/#/chats/{spoken['chat_id']}",
            "source": "botmaker",
        }
        notifications = _notifications(session)
        starting = notifications[0] if notifications and origin in PUSHES else None
        if starting:
            _apply_results(starting, session.results)
        _attribute_replies(notifications, session.messages)
        for notification in notifications:
            is_start = notification is starting
            kind = origin if is_start else "whatsapp_template" if notification["template_name"] else "other"
            row = {**base, **_sending_columns(notification), "origin": kind}
            expected.notifications.append({**row, "is_session_start": is_start, "is_in_report": is_start and origin in IN_REPORT})
        sending = _sending_columns(starting) if starting else NO_SEND
        expected.session_starts.append({**base, **sending, "origin": origin, "is_in_report": origin in IN_REPORT})


def _notifications(session: Session) -> list[dict[str, Any]]:
    """Return the session's notifications in the order in which they were sent, by what events and messages say."""
    bot_messages: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for message in session.messages:
        if message["from"] == "bot":
            bot_messages[message["id"]].append(message)
    events: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in session.events:
        if event["name"] in STATUS_OF and event["info"].get("messageId"):
            events[event["info"]["messageId"]].append(event)
    templates = {
        message_id: min((copy["at"], copy["template"]) for copy in copies if copy["template"])[1]
        for message_id, copies in bot_messages.items()
        if any(copy["template"] for copy in copies)
    }
    notifications = [_notification(id_, events[id_], bot_messages.get(id_, []), templates.get(id_)) for id_ in {*events, *templates}]
    return sorted(notifications, key=lambda n: (n["at"], n["message_id"]))


def _notification(
    message_id: str, events: list[dict[str, Any]], copies: list[dict[str, Any]], template_of_message: str | None
) -> dict[str, Any]:
    at = {kind: earliest(*(event["at"] for event in events if STATUS_OF[event["name"]] == kind)) for kind in STATUS_OF.values()}
    named = [(event["at"], event["name"], event["info"]["whatsappTemplate"]) for event in events if event["info"].get("whatsappTemplate")]
    sent_at = at["sent"] or earliest(*(copy["at"] for copy in copies))
    errors = [
        (event["at"], event["info"].get("reason") or event["info"].get("error") or None)
        for event in events
        if STATUS_OF[event["name"]] == "error"
    ]
    return {
        "message_id": message_id,
        "template_name": min(named)[2] if named else template_of_message,
        "notification_name": None,
        "at": sent_at or min(event["at"] for event in events),
        "sent_at": sent_at,
        "shows_sent": at["sent"] is not None,
        "delivered_at": at["delivered"],
        "read_at": at["read"],
        "failed_at": at["error"],
        "answered_at": None,
        "reason": min(errors, key=lambda error: (error[0], error[1] is None, error[1] or ""))[1] if errors else None,
        "user_replied_at": None,
    }


def _apply_results(starting: dict[str, Any], results: list[dict[str, Any]]) -> None:
    """Add what sent results say of the notification that started the session."""
    said = {name: earliest(*(result[name] for result in results)) for name in RESULT_TIMES}
    starting["sent_at"] = earliest(starting["sent_at"], said["sent"])
    starting["at"] = starting["sent_at"] or starting["at"]
    starting["shows_sent"] = starting["shows_sent"] or said["sent"] is not None
    starting["delivered_at"] = earliest(starting["delivered_at"], said["delivered"])
    starting["read_at"] = earliest(starting["read_at"], said["read"])
    starting["failed_at"] = earliest(starting["failed_at"], said["error"])
    starting["answered_at"] = said["answered"]
    named = [(result["sent"] is None, result["sent"] or datetime.max, result["name"]) for result in results if result["name"]]
    starting["notification_name"] = min(named)[2] if named else None


def _is_not_sent(notification: dict[str, Any]) -> bool:
    shown = (notification[name] for name in ("delivered_at", "read_at", "answered_at"))
    return notification["failed_at"] is not None and not any(shown)


def _attribute_replies(notifications: list[dict[str, Any]], messages: list[dict[str, Any]]) -> None:
    """Give each notification the first message that the user wrote before the next notification."""
    ordered = sorted(notifications, key=lambda n: (n["at"], n["message_id"]))
    user_at: dict[str, datetime] = {}
    for message in messages:
        if message["from"] == "user":
            user_at[message["id"]] = min(user_at.get(message["id"], message["at"]), message["at"])
    for position, notification in enumerate(ordered):
        until = ordered[position + 1]["at"] if position + 1 < len(ordered) else datetime.max
        notification["user_replied_at"] = earliest(*(at for at in user_at.values() if notification["at"] <= at < until))


def _sending_columns(notification: dict[str, Any]) -> dict[str, Any]:
    is_not_sent = _is_not_sent(notification)
    replied_at = None if is_not_sent else earliest(notification["user_replied_at"], notification["answered_at"])
    is_read = bool(notification["read_at"] or replied_at) and not is_not_sent
    is_delivered = bool(notification["delivered_at"] or is_read) and not is_not_sent
    is_sent = (notification["shows_sent"] or is_delivered) and not is_not_sent
    codes = re.findall(r"\((\d+)(?:\.\d+)?\)", notification["reason"] or "")
    code = codes[-1] if codes else None
    row = {
        **{name: notification[name] for name in ("message_id", "template_name", "notification_name")},
        **{name: notification[name] for name in ("sent_at", "delivered_at", "read_at", "failed_at")},
        "template_language": None,
        "replied_at": replied_at,
        "is_not_sent": is_not_sent,
        "is_sent": is_sent,
        "is_delivered": is_delivered,
        "is_read": is_read,
        "is_replied": replied_at is not None,
        "failure_code": code if is_not_sent else None,
        "failure_group": reason_of(code)["failure_group"] if is_not_sent else None,
        "failure_reason": reason_of(code)["label_en"] if is_not_sent else None,
        "failure_detail": notification["reason"] if is_not_sent else None,
    }
    return row | {"last_status": last_status(row)}

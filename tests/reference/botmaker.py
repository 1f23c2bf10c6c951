"""Botmaker's sessions, sent results and channels (contract, sections 2 to 4, above all 4.6)."""

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from tests.reference.contract import (
    IN_REPORT,
    NO_SEND,
    Expected,
    RejectedError,
    as_object,
    day_of,
    digits_of,
    earliest,
    failure_columns,
    identifier,
    iso_time,
    last_status,
    nulls_last,
    seed,
    text_of,
    whole_number_in,
)
from tests.reference.files import Content, Zone
from tests.reference.json_values import parse_value
from tests.reference.people import Lines, People

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
    """All items of one session taken together."""

    items: list[tuple[tuple[Any, ...], dict[str, Any]]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)
    results: list[dict[str, Any]] = field(default_factory=list)

    @property
    def chosen(self) -> dict[str, Any]:
        """Return the values that exist once per session: those of the item with most events and messages, then smallest by its columns."""
        return min(self.items, key=lambda item: item[0])[1]


def session_key(session_id: str) -> Key:
    """Return the chat and the whole second, or the id itself if it does not contain both."""
    chat, _, time = session_id.rpartition("_")
    try:
        return (chat, iso_time(time).replace(microsecond=0)) if chat else (session_id,)
    except RejectedError:
        return (session_id,)


def read(landing: Zone, lines: Lines, people: People, expected: Expected) -> dict[Key, Session]:
    """Read all sessions with the sent results that refer to them, and collect their evidence on lines and people."""
    sessions: dict[Key, Session] = defaultdict(Session)
    for item in _items(landing, "botmaker/channels", expected, ("items",)):
        try:
            _take_channel(item, lines)
        except RejectedError:
            item.reject()
    for item in _items(landing, "botmaker/sessions", expected, ("items",)):
        try:
            _take_session(item, sessions, lines, people)
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
        for _, item in session.items:
            if "-webchat-" in item["channel_id"]:
                lines.mark_webchat(item["channel_id"])
    return dict(sessions)


def _take_channel(item: "_Item", lines: Lines) -> None:
    """Note the number of a channel, and whether it is a web chat."""
    record = item.record()
    channel_id, number = _text(record, "id"), record.get("number")
    if isinstance(number, bool) or not isinstance(number, str | int | None):
        raise RejectedError("number")
    lines.see(channel_id, digits_of(text_of(number) or ""))
    if record.get("platform") == "webchat" or "-webchat-" in channel_id:
        lines.mark_webchat(channel_id)


@dataclass
class _Item:
    """One item: a line of its own, or an item of a page together with the fields that the page has for all its items."""

    content: Content
    line_number: int
    value: Any
    page: dict[str, Any]

    def record(self) -> dict[str, Any]:
        if not isinstance(self.value, dict):
            raise RejectedError("object")
        return self.value

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
        value = parse_value(text)
    except RejectedError:
        return [_Item(content, line_number, None, {})]
    for name in lists:
        if isinstance(value, dict) and isinstance(value.get(name), list):
            return [_Item(content, line_number, item, value) for item in value[name]]
    return [_Item(content, line_number, value, {})]


def _take_session(item: _Item, sessions: dict[Key, Session], lines: Lines, people: People) -> None:
    """Merge an item into its session; its valid parts count even if one of its events is invalid."""
    record = item.record()
    chat = _object(record, "chat")
    ids = _object(chat, "chat")
    session_id, chat_id = _text(record, "id"), _text(ids, "chatId")
    channel_id = _text(ids, "channelId")
    contact_id, user_id, parent_user_id = (_text_or_none(ids, name) for name in ("contactId", "userId", "parentUserId"))
    created_at = iso_time(record.get("creationTime"))
    events, messages = _list(record, "events"), _list(record, "messages")
    session = sessions[session_key(session_id)]
    is_whole = True
    for event in events:
        try:
            session.events.append(_event(event))
        except RejectedError:
            is_whole = False
    for message in messages:
        try:
            session.messages.append(_message(message))
        except RejectedError:
            is_whole = False
    columns = {
        "id": session_id,
        "at": created_at,
        "cause": _lenient(record, "startingCause"),
        "chat_id": chat_id,
        "channel_id": channel_id,
        "contact_id": contact_id,
        "user_id": user_id,
        "parent_user_id": parent_user_id,
        "customer_created_at": _time_or_none(chat.get("creationTime")),
        "is_tester": str(chat.get("isTester")).lower() == "true",
    }
    session.items.append(((-len(events) - len(messages), *nulls_last(*columns.values())), columns))
    lines.see(channel_id, None)
    people.link(contact_id or user_id or parent_user_id or chat_id, user_id, parent_user_id)
    if not is_whole:
        raise RejectedError("part of an item")


def _event(event: Any) -> dict[str, Any]:
    info = as_object(as_object(event).get("info"))
    return {
        "name": _text(event, "name"),
        "at": iso_time(event.get("creationTime")),
        "message_id": _lenient(info, "messageId"),
        "template": _lenient(info, "whatsappTemplate"),
        "reason": _lenient(info, "reason") or _lenient(info, "error"),
    }


def _message(message: Any) -> dict[str, Any]:
    content = as_object(as_object(message).get("content"))
    return {
        "id": _text(message, "id"),
        "at": iso_time(message.get("creationTime")),
        "is_ours": message.get("from") in ("bot", "agent"),
        "is_users": message.get("from") == "user",
        "template": _lenient(content, "whatsAppTemplateName"),
    }


def _result(item: _Item) -> tuple[Key | None, dict[str, Any]]:
    """Return the session that a sent result refers to, if any, and the result's values."""
    record = item.record()
    status = record.get("status")
    if not isinstance(status, dict | None):
        raise RejectedError("status")
    given = {name: (status or {}).get(name) for name in RESULT_TIMES}
    times = {name: None if value is None or not str(value).strip() else iso_time(value) for name, value in given.items()}
    named = (record, record.get("notification"), item.page.get("notification"))
    names = [_lenient(as_object(place), "notificationName") for place in named]
    session_id = record.get("sessionId")
    if not isinstance(session_id, str | None):
        raise RejectedError("sessionId")
    if not (session_id or "").strip():
        if record.get("customerId") is None and record.get("contactId") is None:
            raise RejectedError("sessionId")
        return None, {}
    return session_key(str(session_id)), {**times, "name": next((name for name in names if name), None)}


def _object(record: dict[str, Any], name: str) -> dict[str, Any]:
    if not isinstance(record.get(name), dict):
        raise RejectedError(name)
    return record[name]


def _text_or_none(record: dict[str, Any], name: str) -> str | None:
    """Return a text, or null if there is none: a person with a username may have no number."""
    value = record.get(name)
    if value is not None and not isinstance(value, str):
        raise RejectedError(name)
    return value if value and value.strip() else None


def _lenient(record: dict[str, Any], name: str) -> str | None:
    """Return a text or a number as text; null for anything else and for an empty text."""
    value = record.get(name)
    return str(value) or None if isinstance(value, str | int | float) else None


def _time_or_none(value: Any) -> datetime | None:
    try:
        return iso_time(value)
    except RejectedError:
        return None


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


def compute(
    sessions: dict[Key, Session],
    lines: Lines,
    people: People,
    zone: ZoneInfo,
    expected: Expected,
    *,
    include_testers: bool = False,
) -> None:
    """Add the fact rows of the sessions, once lines and people are known."""
    shown = [session for session in sessions.values() if include_testers or not session.chosen["is_tester"]]
    for session in shown:
        chosen = session.chosen
        line, person = lines.of(chosen["channel_id"], None), people.person(_contact(chosen))
        origin = _origin(session, lines)
        base = {
            **lines.describe(line),
            "person_id": person,
            "contact_id": identifier(_contact(chosen)),
            "session_start_id": chosen["id"],
            "session_id": chosen["id"],
            "session_started_at": chosen["at"],
            "session_start_date": day_of(chosen["at"], zone),
            "customer_id": chosen["chat_id"],
            "customer_created_at": chosen["customer_created_at"],
            "agent_groups": None,
            "chat_link": f"https://go.botmaker.com/#/chats/{chosen['chat_id']}",
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


def _contact(chosen: dict[str, Any]) -> str:
    return chosen["contact_id"] or chosen["user_id"] or chosen["parent_user_id"] or chosen["chat_id"]


def _origin(session: Session, lines: Lines) -> str:
    if session.results:
        return "mass_notification"
    cause = str(session.chosen["cause"] or "").lower()
    if cause == "referral" and lines.is_webchat(lines.of(session.chosen["channel_id"], None)):
        return "referred_webchat"
    return {row["starting_cause"].lower(): row["origin"] for row in seed("starting_causes")}.get(cause, "other")


def _notifications(session: Session) -> list[dict[str, Any]]:
    """Return the session's notifications in sending order, from its events and messages."""
    our_messages: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for message in session.messages:
        if message["is_ours"]:
            our_messages[message["id"]].append(message)
    events: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in session.events:
        if event["name"].startswith("notification-") and event["message_id"]:
            events[event["message_id"]].append(event)
    templates = {
        message_id: min((copy["at"], copy["template"]) for copy in copies if copy["template"])[1]
        for message_id, copies in our_messages.items()
        if any(copy["template"] for copy in copies)
    }
    notifications = [_notification(id_, events[id_], our_messages.get(id_, []), templates.get(id_)) for id_ in {*events, *templates}]
    return sorted(notifications, key=lambda n: (n["at"], n["message_id"]))


def _notification(
    message_id: str, events: list[dict[str, Any]], copies: list[dict[str, Any]], template_of_message: str | None
) -> dict[str, Any]:
    at = {kind: earliest(*(event["at"] for event in events if STATUS_OF.get(event["name"]) == kind)) for kind in STATUS_OF.values()}
    named = [(event["at"], event["name"], event["template"]) for event in events if event["template"]]
    sent_at = at["sent"] or earliest(*(copy["at"] for copy in copies))
    errors = [(event["at"], event["reason"]) for event in events if STATUS_OF.get(event["name"]) == "error"]
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
    """Add what sent results report about the notification that started the session."""
    times = {name: earliest(*(result[name] for result in results)) for name in RESULT_TIMES}
    starting["sent_at"] = earliest(starting["sent_at"], times["sent"])
    starting["at"] = starting["sent_at"] or starting["at"]
    starting["shows_sent"] = starting["shows_sent"] or times["sent"] is not None
    starting["delivered_at"] = earliest(starting["delivered_at"], times["delivered"])
    starting["read_at"] = earliest(starting["read_at"], times["read"])
    starting["failed_at"] = earliest(starting["failed_at"], times["error"])
    starting["answered_at"] = times["answered"]
    named = [(result["sent"] is None, result["sent"] or datetime.max, result["name"]) for result in results if result["name"]]
    starting["notification_name"] = min(named)[2] if named else None


def _is_not_sent(notification: dict[str, Any]) -> bool:
    shown = (notification[name] for name in ("delivered_at", "read_at", "answered_at"))
    return notification["failed_at"] is not None and not any(shown)


def _attribute_replies(notifications: list[dict[str, Any]], messages: list[dict[str, Any]]) -> None:
    """Attribute to each notification the first message that the user wrote before the next notification."""
    ordered = sorted(notifications, key=lambda n: (n["at"], n["message_id"]))
    user_at: dict[str, datetime] = {}
    for message in messages:
        if message["is_users"]:
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
    row = {
        **{name: notification[name] for name in ("message_id", "template_name", "notification_name")},
        **{name: notification[name] for name in ("sent_at", "delivered_at", "read_at", "failed_at")},
        "template_language": None,
        "replied_at": replied_at,
        "first_reply_at": replied_at,
        "reply_evidence": "window" if replied_at else None,
        "is_not_sent": is_not_sent,
        "is_sent": is_sent,
        "is_delivered": is_delivered,
        "is_read": is_read,
        "is_replied": replied_at is not None,
        **failure_columns(_code(notification["reason"]), notification["reason"], is_not_sent=is_not_sent),
    }
    return row | {"last_status": last_status(row)}


def _code(reason: str | None) -> str | None:
    """Return the last digits in parentheses, or the whole reason if it is only a number."""
    codes = re.findall(r"\( *#?([0-9]+)(?:\.0+)? *\)", reason or "")
    return whole_number_in(reason) or (codes[-1] if codes else None)

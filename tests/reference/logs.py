"""The send log and WhatsApp's webhooks (contract, sections 2 to 4)."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from tests.reference.contract import (
    IN_REPORT,
    NO_SEND,
    Expected,
    RejectedError,
    any_time,
    as_object,
    code_of,
    day_of,
    digits_of,
    earliest,
    failure_columns,
    identifier,
    last_status,
    nulls_last,
    second_of,
    seed,
    text_of,
    unix_time,
)
from tests.reference.files import Zone
from tests.reference.json_values import parse_value
from tests.reference.people import Lines, People

SESSION_TIMEOUT = timedelta(hours=24)
REPLY_WINDOW = timedelta(hours=24)
REPLY_HORIZON = timedelta(days=7)
UNAVAILABLE = "unavailable"
NOTIFICATION, INBOUND, SESSION_MESSAGE, INBOUND_AFTER_SESSION_MESSAGE = range(4)
Row = dict[str, Any]


@dataclass
class Records:
    """All landed records, including copies: sends of the log, statuses, inbound messages and echoes."""

    sends: list[Row] = field(default_factory=list)
    statuses: list[Row] = field(default_factory=list)
    messages: list[Row] = field(default_factory=list)
    echoes: list[Row] = field(default_factory=list)


# Reading


def read(landing: Zone, lines: Lines, people: People, expected: Expected) -> Records:
    """Read the sends, statuses, messages and echoes of a landing zone, and collect their evidence on lines and people."""
    records = Records()
    for content in landing.contents("sends"):
        for number, line in content.records:
            try:
                records.sends.append(_send(line))
            except RejectedError:
                content.reject(number)
        content.count(expected)
    for content in landing.contents("webhooks"):
        for number, text in content.records:
            body = _Body(records, people)
            if not body.read(text):
                content.reject(number)
            expected.other_kinds += [content.name] * body.other_kinds
            for line in body.lines_of_other_kinds:
                lines.see(line["channel"], line["number"])
        content.count(expected)
    for record in (*records.sends, *records.statuses, *records.messages, *records.echoes):
        lines.see(record["channel"], record["number"])
    return records


def _send(line: bytes) -> Row:
    record = parse_value(line)
    if not isinstance(record, dict):
        raise RejectedError("object")
    for name in ("message_id", "channel_id", "contact_id"):
        if not isinstance(record.get(name), str) or not record[name].strip(" "):
            raise RejectedError(name)
    for name in ("template_name", "template_language", "notification_name", "chat_link"):
        if not isinstance(record.get(name), str | None):
            raise RejectedError(name)
    for name in ("line_number", "customer_id"):
        if isinstance(record.get(name), bool) or not isinstance(record.get(name), str | int | None):
            raise RejectedError(name)
    created, groups, error = (record.get(name) for name in ("customer_created_at", "agent_groups", "error"))
    if not isinstance(groups, str | list | None) or not isinstance(error, dict | None):
        raise RejectedError("agent_groups or error")
    code, title, details = _error_of_send(error or {})
    optional = ("template_name", "template_language", "notification_name", "line_number", "customer_id", "chat_link")
    send = {
        **{name: text_of(record.get(name)) for name in optional},
        "agent_groups": ", ".join(text_of(group) or "" for group in groups if group is not None) or None
        if isinstance(groups, list)
        else text_of(groups),
        "id": record["message_id"],
        "at": any_time(record.get("sent_at")),
        "channel": record["channel_id"],
        "number": digits_of(text_of(record.get("line_number")) or ""),
        "contact": record["contact_id"],
        "created": None if created is None or not str(created).strip(" ") else any_time(created),
        "has_error": bool(code or title or details),
        "error": (code, details or title),
        "is_echo": False,
    }
    names = ("channel", "contact", "template_name", "template_language", "notification_name", "line_number", "customer_id", "created")
    send["order"] = nulls_last(*(send[name] for name in names), send["agent_groups"], send["chat_link"], code, title, details)
    return send


def _error_of_send(error: dict[str, Any]) -> tuple[str | None, str | None, str | None]:
    """Return code, title and details of an error object in our format or Meta's."""
    title = text_of(error.get("title")) or text_of(error.get("message"))
    details = text_of(error.get("details")) or text_of(as_object(error.get("error_data")).get("details"))
    return code_of(error.get("code")), title, details


class _Body:
    """One webhook body; its valid parts are added to `records` even if other parts cannot be read."""

    def __init__(self, records: Records, people: People) -> None:
        self._records = records
        self._people = people
        self._is_whole = True
        self.other_kinds = 0
        self.lines_of_other_kinds: list[Row] = []

    def read(self, line: bytes) -> bool:
        """Read a body and return whether all of it could be read."""
        try:
            body = parse_value(line)
            entries = body.get("entry") if isinstance(body, dict) else None
            if not isinstance(entries, list):
                raise RejectedError("entry")
        except RejectedError:
            return False
        for entry in self._objects(entries):
            changes = self._objects(entry.get("changes"))
            for change in changes:
                self._change(change)
            self.other_kinds += entry.get("changes") in (None, [])
        self.other_kinds += not entries
        return self._is_whole

    def _objects(self, value: Any) -> list[dict[str, Any]]:
        """Return the objects of a list; anything else causes the body to be rejected."""
        if value is None:
            return []
        elements = value if isinstance(value, list) else [None]
        objects = [element for element in elements if isinstance(element, dict)]
        self._is_whole = self._is_whole and len(objects) == len(elements)
        return objects

    def _change(self, change: dict[str, Any]) -> None:
        field_, value = change.get("field"), change.get("value")
        if field_ not in (None, "messages", "standby", "smb_message_echoes"):
            self._count_other_kind(_lenient_line_of(as_object(as_object(value).get("metadata"))))
            if field_ == "user_id_update" and isinstance(value, dict):
                self._user_id_updates(value.get("user_id_update"))
            return
        if not isinstance(value, dict | None):
            self._is_whole = False
            return
        value = value or {}
        inner = value.get("standby") if field_ == "standby" else value
        if not isinstance(inner, dict | None):
            self._is_whole = False
            return
        inner = inner or {}
        metadata = as_object(value.get("metadata"))
        lists = {"standby": ("statuses", "messages", "message_echoes"), "smb_message_echoes": ("message_echoes",)}
        names = lists.get(str(field_), ("statuses", "messages"))
        if all(inner.get(name) in (None, []) for name in names):
            self._count_other_kind(_lenient_line_of(metadata))
        contacts = [] if field_ == "smb_message_echoes" else _objects_in(inner.get("contacts"))
        for contact in contacts:
            self._people.link(*(_lenient(contact.get(name)) for name in ("wa_id", "user_id", "parent_user_id")))
        readers: dict[str, Callable[..., None]] = {"statuses": self._status, "messages": self._message, "message_echoes": self._echo}
        for name in names:
            for item in self._objects(inner.get(name)):
                try:
                    readers[name](item, _line_of(metadata), contacts)
                except RejectedError:
                    self._is_whole = False

    def _count_other_kind(self, line: Row) -> None:
        self.other_kinds += 1
        if line["channel"] and line["display"]:
            self.lines_of_other_kinds.append(line)

    def _user_id_updates(self, updates: Any) -> None:
        for update in _objects_in(updates):
            self._people.link(*_identifiers_in(update, ("wa_id", "user_id", "parent_user_id")))

    def _status(self, item: Row, line: Row, _: list[Row]) -> None:
        participants = [_lenient(item.get(name)) for name in ("recipient_participant_id", "recipient_participant_user_id")]
        is_of_group = item.get("recipient_type") == "group" or any(participants)
        if item.get("type") == "payment" or is_of_group:
            self._count_other_kind(line)
            return
        errors = _objects_in(item.get("errors"))
        error = errors[0] if errors else {}
        recipients = [_optional(item.get(name)) for name in ("recipient_id", "recipient_user_id", "recipient_parent_user_id")]
        code, title, message = (code_of(_lenient(error.get("code"))), *(_lenient(error.get(name)) for name in ("title", "message")))
        details = _lenient(as_object(error.get("error_data")).get("details"))
        status = {
            "id": _required(item.get("id")),
            "status": _required(item.get("status")),
            "at": unix_time(item.get("timestamp")),
            "recipients": recipients,
            "code": code,
            "detail": details or message or title,
            "price": _price_of(item),
            **line,
        }
        status["order"] = nulls_last(code, title, message, details)
        self._records.statuses.append(status)
        self._people.link(*recipients)

    def _message(self, item: Row, line: Row, contacts: list[Row]) -> None:
        senders = [_lenient(item.get(name)) for name in ("from", "from_user_id", "from_parent_user_id", "user_id", "parent_user_id")]
        if len(contacts) == 1:
            senders += [_lenient(contacts[0].get(name)) for name in ("wa_id", "user_id", "parent_user_id")]
        sender = next((given for given in senders if given), None)
        type_, reaction, context = (_kind_of(item), *(as_object(item.get(name)) for name in ("reaction", "context")))
        referral = item.get("referral")
        if not sender or not (line["channel"] or line["number"]):
            raise RejectedError("message")
        quoted = _optional(context.get("id"))
        reacted = _optional(reaction.get("message_id"))
        source = [_lenient(as_object(referral).get(name)) for name in ("source_type", "source_id")]
        message = {
            "id": _required(item.get("id")),
            "at": unix_time(item.get("timestamp")),
            "type": type_,
            "is_shown": type_ != UNAVAILABLE,
            "contact": sender,
            "names": reacted if type_ == "reaction" else quoted,
            "has_emoji": bool(_lenient(reaction.get("emoji"))),
            "is_group": bool(_lenient(item.get("group_id"))),
            "has_referral": referral is not None,
            "source_type": source[0],
            **line,
        }
        flags = not message["has_emoji"], not message["is_group"], not message["has_referral"]
        message["order"] = nulls_last(type_, line["channel"], line["display"], sender, message["names"], *flags, *source)
        self._records.messages.append(message)
        if not message["is_group"]:
            self._people.link(*senders[:5])
            notice = as_object(item.get("system"))
            if type_ == "system" and notice.get("type") in ("user_changed_number", "user_changed_user_id"):
                changed = _identifiers_in(notice, ("wa_id", "new_wa_id", "user_id", "parent_user_id"))
                self._people.link(sender, *senders[:5], *changed)

    def _echo(self, item: Row, line: Row, _: list[Row]) -> None:
        forms = (item, as_object(item.get("message")))
        given = {name: next((value for form in forms if (value := _lenient(form.get(name)))), None) for name in _ECHO_FIELDS}
        if given["group_id"] or given["recipient_type"] == "group":
            self._count_other_kind(line)
            return
        line = line if line["channel"] or line["number"] else {**line, "number": digits_of(given["from"] or "")}
        contact = given["to"] or given["to_user_id"]
        if not contact or not (line["channel"] or line["number"]):
            raise RejectedError("echo")
        echo = {
            **dict.fromkeys(
                ("template_name", "template_language", "notification_name", "customer_id", "created", "agent_groups", "chat_link")
            ),
            "id": _required(item.get("id")),
            "at": unix_time(item.get("timestamp")),
            "contact": contact,
            "has_error": False,
            "error": (None, None),
            "is_echo": True,
            "order": nulls_last(given["type"], line["channel"], line["display"], given["from"], contact),
            **line,
        }
        self._records.echoes.append(echo)


def _kind_of(message: Row) -> str | None:
    """Return the type, or `unavailable` for a message whose content WhatsApp does not show (error 131060)."""
    kind, errors = _optional(message.get("type")), message.get("errors")
    code = code_of(_lenient(as_object(errors[0]).get("code"))) if isinstance(errors, list) and errors else None
    return UNAVAILABLE if kind == "unsupported" and code == "131060" else kind


_ECHO_FIELDS = ("from", "to", "to_user_id", "type", "group_id", "recipient_type")


def _price_of(status: Row) -> tuple[str | None, str | None, str | None]:
    """Return model, category and type from a status's pricing."""
    pricing = as_object(status.get("pricing"))
    category = (_lenient(pricing.get("category")) or "").lower().replace("authentication_international", "authentication-international")
    return _lenient(pricing.get("pricing_model")), category or None, _lenient(pricing.get("type"))


def _line_of(metadata: dict[str, Any]) -> Row:
    channel, display = _optional(metadata.get("phone_number_id")), _lenient(metadata.get("display_phone_number"))
    return {"channel": channel, "display": display, "number": digits_of(display or "")}


def _lenient_line_of(metadata: dict[str, Any]) -> Row:
    return _line_of({name: _lenient(value) for name, value in metadata.items()})


def _objects_in(value: Any) -> list[dict[str, Any]]:
    return [element for element in value if isinstance(element, dict)] if isinstance(value, list) else []


def _lenient(value: Any) -> str | None:
    """Return a text or a number as text; null for anything else and for an empty text."""
    return str(value) or None if isinstance(value, str | int | float) and not isinstance(value, bool) else None


def _optional(value: Any) -> str | None:
    if isinstance(value, dict | list):
        raise RejectedError("not a string")
    return _lenient(value)


def _required(value: Any) -> str:
    text = _optional(value)
    if text is None:
        raise RejectedError("missing")
    return text


def _identifiers_in(notice: dict[str, Any], names: tuple[str, ...]) -> Iterator[str | None]:
    """Yield the values under these names, each a text or an object with the previous and the current value."""
    for name in names:
        for value in (notice.get(name), *as_object(notice.get(name)).values()):
            yield _lenient(value)


# Meaning


def link_people(records: Records, people: People) -> None:
    """Link the identifiers in statuses, quotes and reactions to the contacts of the sends that they refer to."""
    sends = kept_sends(records)
    for send in sends.values():
        people.link(send["contact"])
    for status in records.statuses:
        if status["id"] in sends:
            people.link(sends[status["id"]]["contact"], *status["recipients"])
    for message in _kept_messages(records, sends):
        if not message["is_group"]:
            people.link(message["contact"])
            if message["names"] in sends:
                people.link(sends[message["names"]]["contact"], message["contact"])


def kept_sends(records: Records) -> dict[str, Row]:
    """Return one send per id; an echo with the id of a send of the log is a copy of it."""
    kept = _earliest_by_id(records.sends)
    return {**_earliest_by_id(records.echoes), **kept}


def _kept_messages(records: Records, sends: dict[str, Row]) -> list[Row]:
    return [message for id_, message in _earliest_by_id(records.messages).items() if id_ not in sends]


def _earliest_by_id(rows: list[Row]) -> dict[str, Row]:
    kept: dict[str, Row] = {}
    for row in sorted(rows, key=lambda row: (row["at"], row["order"])):
        kept.setdefault(row["id"], row)
    return kept


def compute(records: Records, lines: Lines, people: People, zone: ZoneInfo, expected: Expected) -> None:
    """Add the fact rows of the records, once lines and people are known."""
    sends = {id_: dict(send) for id_, send in kept_sends(records).items()}
    messages = [dict(message) for message in _kept_messages(records, sends)]
    for record in (*sends.values(), *messages):
        record["line"] = lines.of(record["channel"], record["number"])
        record["person"] = people.person(record["contact"])
        record["shown"] = {
            **lines.describe(record["line"]),
            "person_id": record["person"],
            "contact_id": identifier(record["contact"]),
            "source": "logs",
        }
    _add_statuses(sends, records.statuses, {message["names"] for message in messages})
    threads: dict[tuple[str, str], _Thread] = defaultdict(_Thread)
    for send in sends.values():
        threads[send["line"], send["person"]].sends.append(send)
    for message in messages:
        threads[message["line"], message["person"]].messages.append(message)
    for thread in threads.values():
        thread.put_in_order(sends)
        thread.attribute_replies(sends)
        thread.find_sessions()
    for thread in threads.values():
        for send in thread.sends:
            row = {**send["shown"], **_send_columns(send, zone)}
            if send["is_notification"]:
                expected.notifications.append({**row, "is_in_report": row["is_session_start"]})
            if row.pop("is_session_start"):
                expected.session_starts.append({**row, "is_in_report": row["origin"] in IN_REPORT})
        for session in thread.sessions:
            if not session.starts_with_send:
                expected.session_starts.append({**session.record["shown"], **_inbound_columns(session, zone, lines)})


def _add_statuses(sends: dict[str, Row], statuses: list[Row], named: set[str | None]) -> None:
    """Add the outcome of every send (4.2, 4.8)."""
    status_of: dict[str, Row] = defaultdict(dict)
    for status in sorted(statuses, key=lambda status: (status["at"], status["order"])):
        status_of[status["id"]].setdefault(status["status"], status)
    for send in sends.values():
        seen = status_of[send["id"]]
        send["has_sent"] = "sent" in seen
        send["delivered_at"], send["failed_at"] = (seen[kind]["at"] if kind in seen else None for kind in ("delivered", "failed"))
        send["read_at"] = earliest(*(seen[kind]["at"] for kind in ("read", "played") if kind in seen))
        has_failed = send["has_error"] or "failed" in seen
        send["not_sent"] = has_failed and not send["delivered_at"] and not send["read_at"] and send["id"] not in named
        send["is_notification"] = bool(send["template_name"] or send["notification_name"])
        failures = [(send["at"], 0, send["error"])] if send["has_error"] else []
        if "failed" in seen:
            failures.append((seen["failed"]["at"], 1, (seen["failed"]["code"], seen["failed"]["detail"])))
        send["failure"] = min(failures, key=lambda failure: failure[:2])[2] if failures else (None, None)
        send["replies"] = []


@dataclass
class _Session:
    id: str
    started_at: datetime
    starts_with_send: bool
    record: Row
    messages: list[Row] = field(default_factory=list)

    @property
    def referred_by(self) -> Row:
        """Return the message that shows what led the person here: the first one, or if WhatsApp hides it the first shown one (4.4)."""
        first, *others = self.messages
        if first["is_shown"] or first["has_referral"]:
            return first
        return next((message for message in others if message["is_shown"]), first)


@dataclass
class _Thread:
    """All records between one line and one person. The `key` of a record is its sort key: second, kind within the second, id."""

    sends: list[Row] = field(default_factory=list)
    messages: list[Row] = field(default_factory=list)
    sessions: list[_Session] = field(default_factory=list)

    def put_in_order(self, sends: dict[str, Row]) -> None:
        for send in self.sends:
            send["key"] = (second_of(send["at"]), NOTIFICATION if send["is_notification"] else SESSION_MESSAGE, send["id"])
        for message in self.messages:
            second, rank = second_of(message["at"]), INBOUND
            quoted = sends.get(message["names"])
            if quoted and (quoted["line"], quoted["person"]) == (message["line"], message["person"]):
                second = max(second, quoted["key"][0])
                if quoted["key"][:2] == (second, SESSION_MESSAGE):
                    rank = INBOUND_AFTER_SESSION_MESSAGE
            message["key"] = (second, rank, message["id"])

    def attribute_replies(self, sends: dict[str, Row]) -> None:
        """Attribute every answer to one send, as (time, evidence, whether it is within the reply window)."""
        notifications = sorted(
            (send for send in self.sends if send["is_notification"] and not send["not_sent"]), key=lambda send: send["key"]
        )
        for message in self.messages:
            if not _counts(message, "answer"):
                continue
            if message["names"] in sends:
                sends[message["names"]]["replies"].append((message["at"], "quoted", True))
                continue
            before = [send for send in notifications if send["key"] < message["key"]]
            distance = message["key"][0] - before[-1]["key"][0] if before else REPLY_HORIZON * 2
            if distance <= REPLY_HORIZON:
                before[-1]["replies"].append((message["at"], "window", distance <= REPLY_WINDOW))

    def find_sessions(self) -> None:
        activities = [message for message in self.messages if _counts(message, "activity")]
        activities += [send for send in self.sends if not send["not_sent"]]
        activities.sort(key=lambda record: record["key"])
        previous = None
        for record in activities:
            second = record["key"][0]
            if previous is None or second - previous > SESSION_TIMEOUT:
                starts_with_send = record["key"][1] in (NOTIFICATION, SESSION_MESSAGE)
                self.sessions.append(_Session(record["id"], record["at"], starts_with_send, record))
            record["session"], previous = self.sessions[-1], second
            if "is_shown" in record:
                record["session"].messages.append(record)
        for send in self.sends:
            if send["not_sent"]:
                before = [record for record in activities if record["key"][0] <= send["key"][0]]
                is_open = bool(before) and send["key"][0] - before[-1]["key"][0] <= SESSION_TIMEOUT
                send["session"] = before[-1]["session"] if is_open else None


def _counts(message: Row, what: str) -> bool:
    """Return whether a message counts as an activity or an answer (4.3)."""
    if message["is_group"]:
        return False
    rule = {row["message_type"]: row[what] for row in seed("inbound_message_types")}.get(message["type"], "always")
    return {"always": True, "never": False, "with_referral": message["has_referral"], "with_emoji": message["has_emoji"]}[rule]


def _send_columns(send: Row, zone: ZoneInfo) -> Row:
    session = send["session"]
    started_at = session.started_at if session else send["at"]
    replied_at = earliest(*(at for at, _, is_in_window in send["replies"] if is_in_window))
    first_reply_at, evidence, _ = min(send["replies"], default=(None, None, None))
    is_read = bool(send["read_at"] or replied_at)
    is_delivered = bool(send["delivered_at"] or is_read)
    row = {
        "session_start_id": session.id if session else send["id"],
        "session_id": session.id if session else None,
        "session_started_at": started_at,
        "session_start_date": day_of(started_at, zone),
        "origin": "mass_notification" if send["notification_name"] else "whatsapp_template" if send["template_name"] else "other",
        "customer_created_at": send["created"],
        "message_id": send["id"],
        "sent_at": send["at"],
        **{name: send[name] for name in ("customer_id", "template_name", "template_language", "notification_name")},
        **{name: send[name] for name in ("delivered_at", "read_at", "failed_at", "agent_groups", "chat_link")},
        "replied_at": replied_at,
        "first_reply_at": first_reply_at,
        "reply_evidence": evidence,
        "is_not_sent": send["not_sent"],
        "is_sent": (send["has_sent"] or is_delivered) and not send["not_sent"],
        "is_delivered": is_delivered,
        "is_read": is_read,
        "is_replied": replied_at is not None,
        **failure_columns(*send["failure"], is_not_sent=send["not_sent"]),
        "is_session_start": session is None or session.record is send,
    }
    return row | {"last_status": last_status(row)}


def _inbound_columns(session: _Session, zone: ZoneInfo, lines: Lines) -> Row:
    record = session.record
    origin, referred_by = "organic", session.referred_by
    if referred_by["has_referral"] and lines.is_webchat(record["line"]):
        origin = "referred_webchat"
    elif referred_by["has_referral"] and referred_by["source_type"] in ("ad", "post"):
        origin = "referred_campaign"
    return {
        **NO_SEND,
        **dict.fromkeys(("customer_id", "agent_groups", "chat_link")),
        "session_start_id": session.id,
        "session_id": session.id,
        "session_started_at": session.started_at,
        "session_start_date": day_of(session.started_at, zone),
        "origin": origin,
        "is_in_report": origin in IN_REPORT,
        "customer_created_at": None,
    }

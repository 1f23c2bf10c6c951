"""Code shared by all parts of the reference: identifiers, times, look-ups and report days (contract, sections 2 and 4)."""

import csv
import json
import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

ROOT = Path(__file__).resolve().parent.parent.parent
IN_REPORT = {"mass_notification", "whatsapp_template", "referred_campaign", "referred_webchat"}
NO_SEND: dict[str, Any] = {
    **dict.fromkeys(("message_id", "template_name", "template_language", "notification_name")),
    **dict.fromkeys(("sent_at", "delivered_at", "read_at", "replied_at", "first_reply_at", "reply_evidence", "failed_at")),
    **dict.fromkeys(("is_replied", "last_status")),
    **dict.fromkeys(("failure_code", "failure_group", "failure_action", "failure_reason", "failure_detail")),
    **dict.fromkeys(("is_not_sent", "is_sent", "is_delivered", "is_read"), False),
}
EARLIEST_TIME, LATEST_TIME = datetime(1, 1, 3), datetime(9999, 12, 29)
_ISO_TIME = re.compile(
    r"([0-9]{4})-?([0-9]{2})-?([0-9]{2})[T ]([0-9]{2}):?([0-9]{2})(?::?([0-9]{2})(?:[.,]([0-9]+))?)?"
    r" ?(?:Z|([+-])([01][0-9]|2[0-3])(?::?([0-5][0-9]))?)",
    re.IGNORECASE,
)
_ADDRESS = re.compile(r"(?:whatsapp:)?(.*?)(?:(?::[0-9]+)?@(?:s\.whatsapp\.net|c\.us))?", re.IGNORECASE | re.DOTALL)


class RejectedError(Exception):
    pass


@dataclass
class Expected:
    """The expected contents of the warehouse: rows of the facts by column, rejected records, the ledger and unread files.

    `rejected` has (file name, line number) for each rejected record; `ledger` maps each content's sha256 to its (records, landed, rejected,
    status); `other_kinds` has the file name for each part of a webhook that the report does not use; `unread` has the files with other
    extensions and the folders with misspelt names; `too_many_identifiers` has the identifiers of each person that has more than the limit.
    """

    session_starts: list[dict[str, Any]] = field(default_factory=list)
    notifications: list[dict[str, Any]] = field(default_factory=list)
    billed_messages: list[dict[str, Any]] = field(default_factory=list)
    rejected: list[tuple[str, int]] = field(default_factory=list)
    ledger: dict[str, tuple[int, int, int, str]] = field(default_factory=dict)
    other_kinds: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    too_many_identifiers: list[list[str]] = field(default_factory=list)


@cache
def seed(name: str) -> list[dict[str, str]]:
    """Return the rows of a look-up table."""
    with (ROOT / "seeds" / "lookups" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def iso_time(value: Any) -> datetime:
    """Read an ISO 8601 time with an offset as naive UTC."""
    match = _ISO_TIME.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise RejectedError("time")
    year, month, day, hour, minute, second, fraction, sign, hours, minutes = match.groups()
    microsecond = int((fraction or "").ljust(6, "0")[:6])
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    try:
        local = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second or 0), microsecond)
        return readable_time(local + offset if sign == "-" else local - offset)
    except (ValueError, OverflowError) as error:
        raise RejectedError("time") from error


def unix_time(value: Any) -> datetime:
    """Read Unix seconds or milliseconds, as a number or as text, as naive UTC."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]+(\.[0-9]+)?", value):
        value = float(value) if "." in value else int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1e14:
        raise RejectedError("time")
    scale = 1_000_000 if value <= 1e11 else 1_000
    return readable_time(datetime(1970, 1, 1) + timedelta(microseconds=round(value * scale)))


def any_time(value: Any) -> datetime:
    """Read a time in either format."""
    try:
        return unix_time(value)
    except RejectedError:
        return iso_time(value)


def readable_time(at: datetime) -> datetime:
    """Return the time if its day can be written with four digits in every time zone."""
    if not EARLIEST_TIME <= at <= LATEST_TIME:
        raise RejectedError("time")
    return at


def second_of(at: datetime) -> datetime:
    """Truncate a time to its whole second."""
    return at.replace(microsecond=0)


def earliest(*times: datetime | None) -> datetime | None:
    """Return the earliest of the known times."""
    return min((time for time in times if time is not None), default=None)


@cache
def identifier(text: str) -> str:
    """Return an identifier as it is shown: without the parts of an address, and a number as its digits."""
    match = _ADDRESS.fullmatch(text)
    bare = (match[1] if match else "") or text
    return digits_of(bare) if re.fullmatch(r"[+0-9 ().-]*[0-9][+0-9 ().-]*", bare) else bare


def digits_of(text: str) -> str:
    return re.sub(r"[^0-9]", "", text)


def as_object(value: Any) -> dict[str, Any]:
    """Return an object, or an empty one if the value is none."""
    return value if isinstance(value, dict) else {}


def text_of(value: Any) -> str | None:
    """Return a value as text, whatever its type; null for null and for an empty text."""
    if isinstance(value, str | None):
        return value or None
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def whole_number_in(text: str | None) -> str | None:
    """Return the digits of a text that is only a whole number, possibly with a fraction of zero or between spaces."""
    whole = re.fullmatch(r" *([0-9]+)(?:\.0+)? *", text or "")
    return whole[1] if whole else None


def code_of(value: Any) -> str | None:
    """Return a failure code as text; a whole number has one spelling."""
    text = text_of(value)
    return whole_number_in(text) or text


def day_of(at: datetime, zone: ZoneInfo) -> date:
    return at.replace(tzinfo=UTC).astimezone(zone).date()


def failure_columns(code: str | None, detail: str | None, *, is_not_sent: bool) -> dict[str, str | None]:
    """Return the failure columns of a send; all are null if it was sent."""
    if not is_not_sent:
        return dict.fromkeys(("failure_code", "failure_group", "failure_action", "failure_reason", "failure_detail"))
    reasons = {row["failure_code"]: row for row in seed("failure_reasons")}
    reason = reasons.get(code or "unknown", reasons["unknown"])
    return {
        "failure_code": code,
        "failure_group": reason["failure_group"],
        "failure_action": reason["failure_action"],
        "failure_reason": reason["label_en"],
        "failure_detail": detail,
    }


def last_status(row: dict[str, Any]) -> str:
    flags = {"not_sent": "is_not_sent", "replied": "is_replied", "read": "is_read", "delivered": "is_delivered", "sent": "is_sent"}
    return next((status for status, flag in flags.items() if row[flag]), "pending")


def nulls_last(*values: Any) -> tuple[Any, ...]:
    """Return a sort key of several columns, nulls last."""
    return tuple((value is None, "" if value is None else value) for value in values)

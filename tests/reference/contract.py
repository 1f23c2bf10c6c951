"""What every part of the reference shares: identifiers, times, look-ups, lines and report days."""

import csv
import json
import re
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

ROOT = Path(__file__).resolve().parent.parent.parent
NEW_USER_TOLERANCE = timedelta(seconds=60)
IN_REPORT = {"mass_notification", "whatsapp_template", "referred_campaign", "referred_webchat"}
NO_SEND: dict[str, Any] = {
    **dict.fromkeys(("message_id", "template_name", "template_language", "notification_name")),
    **dict.fromkeys(("sent_at", "delivered_at", "read_at", "replied_at", "failed_at", "is_replied", "last_status")),
    **dict.fromkeys(("failure_code", "failure_group", "failure_reason", "failure_detail")),
    **dict.fromkeys(("is_not_sent", "is_sent", "is_delivered", "is_read"), False),
}


class RejectedError(Exception):
    pass


@dataclass
class Expected:
    """What the warehouse must hold: rows of the facts by column, rejected records, and the ledger.

    `rejected` has (file name, line number) for each rejected record; `ledger` has, for each content's
    sha256, its (records, landed, rejected, status).
    """

    session_starts: list[dict[str, Any]] = field(default_factory=list)
    notifications: list[dict[str, Any]] = field(default_factory=list)
    rejected: list[tuple[str, int]] = field(default_factory=list)
    ledger: dict[str, tuple[int, int, int, str]] = field(default_factory=dict)


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


def parse_json(line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line.decode())
    except ValueError as error:
        raise RejectedError("json") from error
    if not isinstance(value, dict):
        raise RejectedError("object")
    return value


def text_of(value: Any) -> str | None:
    return None if value is None else str(value)


def day_of(at: datetime, zone: ZoneInfo) -> date:
    return at.replace(tzinfo=UTC).astimezone(zone).date()


def reason_of(code: str | None) -> dict[str, str]:
    reasons = {row["failure_code"]: row for row in seed("failure_reasons")}
    return reasons.get(code or "unknown", reasons["unknown"])


def last_status(row: dict[str, Any]) -> str:
    flags = {"not_sent": "is_not_sent", "replied": "is_replied", "read": "is_read", "delivered": "is_delivered", "sent": "is_sent"}
    return next((status for status, flag in flags.items() if row[flag]), "pending")


class Lines:
    """Which line a channel id or a number means, and the numbers seen for each line."""

    def __init__(self) -> None:
        self.known = {row["channel_id"]: row for row in seed("channels")}
        self._by_number = {re.sub(r"\D", "", row["line_number"]): row["channel_id"] for row in reversed(seed("channels"))}
        self._seen: dict[str, set[str]] = defaultdict(set)

    def see(self, given: str | None, number: str) -> str:
        """Return the channel that a record means by its channel id and its line's number (digits, or empty), and note the number."""
        channel_id = self._identify(given or "", number)
        if number:
            self._seen[channel_id].add(number)
            self._seen[given or ""].add(number)
        return channel_id

    def _identify(self, given: str, number: str) -> str:
        if given in self.known:
            return given
        return self._by_number.get(identifier(given)) or self._by_number.get(number) or given or number

    def describe(self, channel_id: str) -> dict[str, Any]:
        """Return the columns of a line, once every record has been seen."""
        channel, seen = self.known.get(channel_id, {}), self._seen[channel_id]
        return {
            "channel_id": channel_id,
            "channel_name": channel.get("channel_name") or None,
            "line_number": re.sub(r"\D", "", channel.get("line_number", "")) or (min(seen) if seen else None),
        }

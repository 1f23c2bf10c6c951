"""The daily marts and the TSVs, computed from session starts."""

import re
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

KEYS = ("session_start_date", "origin", "channel_id", "line_number", "template_name", "notification_name", "user_type")
HOURLY_COUNTS = (
    *("notifications", "not_sent", "sent", "delivered", "read", "replied"),
    *("replied_within_1h", "replied_within_24h", "replied_within_72h", "replied_within_7d"),
)


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


def daily(starts: list[dict[str, Any]]) -> dict[tuple[Any, ...], tuple[int, int, int, int]]:
    """Count a day's totals: keys → (session_starts, notifications, replied, not_replied)."""
    counts: dict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for row in starts:
        if row["is_in_report"]:
            count = counts[tuple(row[key] for key in KEYS)]
            count[0] += row["session_id"] is not None
            count[1] += row["message_id"] is not None
            count[2] += row["is_replied"] is True
            count[3] += row["is_replied"] is False and not row["is_not_sent"]
    return {cell: (starts_, sends, replied, not_replied) for cell, (starts_, sends, replied, not_replied) in counts.items()}


def by_hour(starts: list[dict[str, Any]], zone: ZoneInfo) -> dict[tuple[Any, ...], tuple[int, ...]]:
    """Count the sends in the report by hour: (keys…, weekday, hour) → `HOURLY_COUNTS`."""
    counts: dict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0] * len(HOURLY_COUNTS))
    for row in starts:
        if row["is_in_report"] and row["message_id"] is not None:
            at, first_reply_at = row["sent_at"], row["first_reply_at"]
            local = at.replace(tzinfo=UTC).astimezone(zone) if at else None
            cell = (*(row[key] for key in KEYS), local and local.isoweekday(), local and local.hour)
            counts[cell][0] += 1
            for place, flag in enumerate(("is_not_sent", "is_sent", "is_delivered", "is_read", "is_replied"), 1):
                counts[cell][place] += bool(row[flag])
            for place, hours in enumerate((1, 24, 72, 7 * 24), 6):
                counts[cell][place] += at is not None and first_reply_at is not None and first_reply_at - at <= timedelta(hours=hours)
    return {cell: tuple(count) for cell, count in counts.items()}


def tsv_cell(value: Any, zone: ZoneInfo) -> str:
    """Write a value as the cell that a reader of the TSV must parse."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC).astimezone(zone).replace(tzinfo=None).isoformat(" ", "seconds")
    text = re.sub("[\x00-\x1f\x7f-\x9f\u2028\u2029]", " ", value)
    if re.match("[\\s\u00a0\u3000]*[=+\\-@＝＋－＠]", text) and not re.fullmatch(r"[+-]?[0-9][0-9.,]*", text):
        return "'" + text
    return text


TSV_FIELDS = (
    *("customer_id", "contact_id", "session_started_at", "channel_id", "is_new_user", "template_or_notification_name"),
    *("is_not_sent", "is_sent", "is_delivered", "is_read", "is_replied", "failure_reason", "failure_detail"),
    *("sent_at", "delivered_at", "read_at", "replied_at", "agent_groups"),
    *("last_status", "origin", "line_number", "failure_code", "session_start_id", "chat_link"),
    *("person_id", "first_reply_at", "failure_action"),
)


def tsv_rows(starts: list[dict[str, Any]], time_zone: str = "America/Sao_Paulo") -> dict[str, list[list[str]]]:
    """Return the cells of every daily TSV, by the day in its file name."""
    zone = ZoneInfo(time_zone)
    days: dict[str, list[list[str]]] = defaultdict(list)
    ordered = sorted(starts, key=lambda r: (r["sent_at"] is None, r["sent_at"] or datetime.min, r["session_start_id"]))
    for row in ordered:
        if row["is_in_report"]:
            shown = {
                **row,
                "is_new_user": row["user_type"] == "new",
                "template_or_notification_name": row["notification_name"] or row["template_name"],
            }
            days[str(row["session_start_date"])].append([tsv_cell(shown[name], zone) for name in TSV_FIELDS])
    return dict(days)

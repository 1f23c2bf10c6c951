"""What every chart of the dashboard must show, in plain SQL over the published marts.

Written from the contract and not from the dashboard: only `fct_session_starts` is read, whichever mart a
chart reads, and words for codes are put in afterwards.
"""

from pathlib import Path
from typing import Any

import duckdb

WORDS = {
    "origin": {
        "mass_notification": "Mass notification",
        "whatsapp_template": "WhatsApp template",
        "referred_campaign": "Referred campaign",
        "referred_webchat": "Referred web chat",
    },
    "last_status": {"not_sent": "Not sent", "pending": "Pending", "sent": "Sent", "delivered": "Delivered", "read": "Read"},
    "user_type": {"new": "New", "returning": "Returning"},
}
WORDS["last_status"]["replied"] = "Replied"

_LOCAL = "timezone((select report_timezone from publish_info), timezone('UTC', {}))"
_NAME = "coalesce(notification_name, template_name)"

# By chart; `report` is the report's rows under the filters, and rows come in any order unless the chart has one.
EXPECTED = {
    "Session starts": "select count(session_id) from report",
    "Session starts and attempts": "select count(*) from report",
    "Distinct users": "select count(distinct person_id) from report",
    "Reply rate of users": """
        select avg(replied::int) from (
            select bool_or(is_replied) as replied from report where is_sent group by person_id
        )
    """,
    "No-reply rate of users": """
        select avg((not replied)::int) from (
            select bool_or(is_replied) as replied from report where is_sent group by person_id
        )
    """,
    "Failure rate": "select avg(is_not_sent::int) from report where message_id is not null",
    "Published": f"select {_LOCAL.format('published_at')} from publish_info",
    "Newest event": f"select {_LOCAL.format('newest_event_at')} from publish_info",
    "Sends replied to or not": """
        select if(is_replied, 'Replied', 'Not replied'), count(*), count(*) / sum(count(*)) over ()
        from report where message_id is not null and not is_not_sent group by 1
    """,
    "New and returning users": """
        select user_type, count(session_id), count(session_id) / sum(count(session_id)) over () from report group by 1
    """,
    "Sends by last status": """
        select last_status, count(*), count(*) / sum(count(*)) over () from report where last_status is not null group by 1
    """,
    "Last statuses in numbers": """
        select last_status, count(*), count(*) / sum(count(*)) over () from report where last_status is not null group by 1
    """,
    "Sends by day and last status": """
        select session_start_date::timestamp, last_status, count(*) from report where last_status is not null group by 1, 2
    """,
    "Funnel of sends that went out": """
        select 'Sent', count(*) from report where is_sent having count(*) > 0
        union all select 'Delivered', count(*) filter (where is_delivered) from report having count(*) filter (where is_sent) > 0
        union all select 'Read', count(*) filter (where is_read) from report having count(*) filter (where is_sent) > 0
        union all select 'Replied', count(*) filter (where is_replied) from report having count(*) filter (where is_sent) > 0
    """,
    "Reasons of failure": """
        select failure_reason, failure_code, count(*), count(*) / sum(count(*)) over () from report where is_not_sent group by 1, 2
    """,
    "Last sends by template or notification": f"""
        select {_NAME}, case last_status when 'not_sent' then 'Not sent' when 'pending' then 'Pending' else 'Success' end, failure_reason,
            count(distinct person_id), count(*), max({_LOCAL.format("sent_at")})
        from report where message_id is not null group by 1, 2, 3
    """,
    "Session starts in detail": f"""
        select {_LOCAL.format("session_started_at")}, contact_id, '+' || line_number, {_NAME}, last_status,
            case is_replied when true then 'Yes' when false then 'No' end, origin, failure_reason,
            '<a href="' || chat_link || '" target="_blank" rel="noopener">Open chat</a>'
        from report
    """,
}


def expected_rows(published_file: Path, chart: str, predicate: str) -> list[tuple[Any, ...]]:
    """Run a chart's SQL over the report's rows that a predicate keeps."""
    sql = f"with report as (select * from fct_session_starts where is_in_report and {predicate}) {EXPECTED[chart]}"
    with duckdb.connect(str(published_file), read_only=True) as connection:
        return [tuple(_in_words(value) for value in row) for row in connection.execute(sql).fetchall()]


def _in_words(value: Any) -> Any:
    return next((words[value] for words in WORDS.values() if isinstance(value, str) and value in words), value)

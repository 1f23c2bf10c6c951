"""The expected rows of every chart of the dashboard, in plain SQL over the published marts.

The SQL follows the contract and not the dashboard: it reads only `fct_session_starts` and `fct_billed_messages`, whichever mart a chart
reads, and replaces codes with words at the end.
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
# Superset sorts a chart's series and axis by name, so these names begin with their place in the funnel.
WORDS["status_in_order"] = {
    f"{place} {code}": f"{place} {word}" for place, (code, word) in enumerate(WORDS["last_status"].items(), start=1)
}
WORDS["price"] = {"free": "Free", "rate_card": "Rate card", "unpriced": "Unpriced"}
WORDS["weekday"] = {
    f"weekday {day}": f"{day} {name}" for day, name in enumerate(("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"), start=1)
}

_LOCAL = "timezone((select report_timezone from publish_info), timezone('UTC', {}))"
_NAME = "coalesce(notification_name, template_name)"
_TEMPLATE_OR_CAMPAIGN = "coalesce(notification_name || ' · ' || template_name, notification_name, template_name, 'No template')"
_IN_ORDER = f"list_position({list(WORDS['last_status'])}, last_status) || ' ' || last_status"
# In milliseconds rather than as an interval: a second way to compute the same age.
_KNOWN_UNTIL = "(select epoch_ms(if(source = 'botmaker', newest_botmaker_event_at, newest_webhook_event_at)) from publish_info)"
_IS_OLDER = f"coalesce(epoch_ms(sent_at) + {{0}} * 3600000 < {_KNOWN_UNTIL}, false)"
_COMPLETE_DAYS = f"""
    select session_start_date from fct_session_starts where is_in_report and is_sent group by 1
    having count(*) = count(*) filter ({_IS_OLDER.format(24)})
"""
_COST_OF_STARTS = f"sum(cost) filter (session_start_id is not null and {_NAME} is not null)"

# By chart. `report` contains the report's rows under the filters; the order of rows matters only if the chart has one.
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
    "Sends by last status": f"select {_IN_ORDER}, count(*) from report where last_status is not null group by 1",
    "Last statuses in numbers": """
        select last_status, count(*), count(*) / sum(count(*)) over () from report where last_status is not null group by 1
    """,
    "Sends by day and last status": f"""
        select session_start_date::timestamp, {_IN_ORDER}, count(*) from report where last_status is not null group by 1, 2
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
        select {_LOCAL.format("session_started_at")}, contact_id, coalesce(channel_name, '+' || line_number), {_NAME}, last_status,
            case is_replied when true then 'Yes' when false then 'No' end, origin, failure_reason,
            '<a href="' || chat_link || '" target="_blank" rel="noopener">Open chat</a>',
            customer_id, channel_id, user_type = 'new', is_not_sent, is_sent, is_delivered, is_read, is_replied, failure_detail,
            {", ".join(_LOCAL.format(f"{time}_at") for time in ("sent", "delivered", "read", "replied"))},
            agent_groups, 'code:' || last_status, 'code:' || origin, line_number, failure_code, session_start_id, chat_link, person_id,
            {_LOCAL.format("first_reply_at")}, failure_action
        from report
    """,
    "Replied within 24 h, by weekday and hour": f"""
        select strftime({_LOCAL.format("sent_at")}, '%H'), strftime({_LOCAL.format("sent_at")}, 'weekday %u'),
            case when count(*) filter (is_sent) >= 30
                then count(*) filter (epoch_ms(first_reply_at) - epoch_ms(sent_at) <= 24 * 3600000) / count(*) filter (is_sent) end
        from report where message_id is not null and sent_at is not null and session_start_date in ({_COMPLETE_DAYS}) group by 1, 2
    """,
    # A message that was read was delivered, even without a `delivered` status.
    "Delivered, read and replied over time": f"""
        select hours::double, avg((least(delivered_at, read_at, first_reply_at) <= until)::int),
            avg((least(read_at, first_reply_at) <= until)::int),
            avg((first_reply_at <= until)::int)
        from (
            select
                hours, sent_at + to_milliseconds((hours * 3600000)::bigint) as until,
                coalesce(delivered_at, 'infinity') as delivered_at, coalesce(read_at, 'infinity') as read_at,
                coalesce(first_reply_at, 'infinity') as first_reply_at
            from report, unnest([0, 0.25, 0.5, 1, 2, 3, 4, 6, 8, 12, 16, 20, 24, 30, 36, 42, 48, 60, 72]) as moments (hours)
            where is_sent and {_IS_OLDER.format(72)}
        ) group by 1
    """,
    "Reply rates within a window": " union all ".join(
        f"""
        select '{name}', count(*) filter (is_older and is_replied_within) / nullif(count(*) filter (is_older), 0),
            count(*) filter (is_older and is_replied_within and reply_evidence = 'quoted') / nullif(count(*) filter (is_older), 0),
            count(*) filter (is_older and is_replied_within and reply_evidence = 'window') / nullif(count(*) filter (is_older), 0),
            count(*) filter (is_older), count(*) filter (not is_older) / count(*)
        from (
            select *, {_IS_OLDER.format(hours)} as is_older,
                epoch_ms(first_reply_at) - epoch_ms(sent_at) <= {hours} * 3600000 as is_replied_within
            from report where is_sent
        ) having count(*) > 0
        """
        for name, hours in {"1 h": 1, "24 h": 24, "72 h": 72, "7 d": 168}.items()
    ),
    "Cost": "select sum(cost)::double from bill",
    "Share without a known price": "select avg((cost_basis = 'unpriced')::int) from bill where is_delivered",
    "Cost per delivered send": f"select {_COST_OF_STARTS}::double / (select count(*) from report where is_delivered) from bill",
    "Cost per replied send": f"select {_COST_OF_STARTS}::double / (select count(*) from report where is_replied) from bill",
    "Cost by day and template": """
        select billed_date::timestamp, coalesce(template_name, notification_name, 'No template'), sum(cost)::double
        from bill where is_delivered group by 1, 2 having sum(cost) is not null
    """,
    "Messages by day and price": "select billed_date::timestamp, cost_basis, count(*) from bill where is_delivered group by 1, 2",
    "Cost by template": f"""
        select template, cost, cost_of_starts, coalesce(delivered, 0), cost_of_starts / nullif(delivered, 0), coalesce(replied, 0),
            cost_of_starts / nullif(replied, 0), unpriced, currencies
        from (
            select {_TEMPLATE_OR_CAMPAIGN} as template, sum(cost)::double as cost, {_COST_OF_STARTS}::double as cost_of_starts,
                count(*) filter (cost_basis = 'unpriced') / nullif(count(*) filter (is_delivered), 0) as unpriced,
                string_agg(distinct currency, ', ' order by currency) as currencies
            from bill group by 1
        )
        full join (
            select {_TEMPLATE_OR_CAMPAIGN} as template, count(*) filter (is_delivered) as delivered, count(*) filter (is_replied) as replied
            from report group by 1
        ) using (template)
    """,
}


def expected_rows(published_file: Path, chart: str, predicate: str) -> list[tuple[Any, ...]]:
    """Run a chart's SQL over the rows of the report and the billed messages that satisfy a predicate."""
    sql = f"""
        with report as (select * from fct_session_starts where is_in_report and {predicate}),
        bill as (
            select * from (
                select billed.*, starts.origin, starts.user_type, billed.billed_date as session_start_date
                from fct_billed_messages as billed left join fct_session_starts as starts using (session_start_id)
            ) where {predicate}
        )
        {EXPECTED[chart]}
    """
    with duckdb.connect(str(published_file), read_only=True) as connection:
        return [tuple(_in_words(value) for value in row) for row in connection.execute(sql).fetchall()]


def _in_words(value: Any) -> Any:
    if isinstance(value, str) and value.startswith("code:"):
        return value.removeprefix("code:")
    return next((words[value] for words in WORDS.values() if isinstance(value, str) and value in words), value)

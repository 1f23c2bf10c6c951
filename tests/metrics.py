"""Every metric computed a second time as plain SQL on the marts, and from its own definition on a few rows."""

import re
from typing import Any

import duckdb

SESSION_STARTS = {
    "session_starts": "count(session_id)",
    "session_starts_and_attempts": "count(*)",
    "distinct_users": "count(distinct person_id)",
    "users_sent_to": "count(distinct person_id) filter (is_sent)",
    "users_who_replied": "count(distinct person_id) filter (is_replied)",
    "sends": "count(*) filter (message_id is not null)",
    "not_sent": "count(*) filter (last_status = 'not_sent')",
    "sent": "count(*) filter (last_status in ('sent', 'delivered', 'read', 'replied'))",
    "delivered": "count(*) filter (last_status in ('delivered', 'read', 'replied'))",
    "read": "count(*) filter (last_status in ('read', 'replied'))",
    "replied": "count(*) filter (last_status = 'replied')",
    "delivery_rate": "count(*) filter (is_delivered) / nullif(count(*) filter (is_sent), 0)",
    "read_rate": "count(*) filter (is_read) / nullif(count(*) filter (is_sent), 0)",
    "reply_rate": "count(*) filter (is_replied) / nullif(count(*) filter (is_sent), 0)",
    "read_rate_of_delivered": "count(*) filter (is_read) / nullif(count(*) filter (is_delivered), 0)",
    "reply_rate_of_delivered": "count(*) filter (is_replied) / nullif(count(*) filter (is_delivered), 0)",
    "reply_rate_of_read": "count(*) filter (is_replied) / nullif(count(*) filter (is_read), 0)",
    "reply_rate_of_users": "count(distinct person_id) filter (is_replied) / nullif(count(distinct person_id) filter (is_sent), 0)",
    "new_user_share": "count(session_id) filter (user_type = 'new') / nullif(count(session_id), 0)",
    "returning_user_share": "count(session_id) filter (user_type = 'returning') / nullif(count(session_id), 0)",
    "failure_rate": "count(*) filter (is_not_sent) / nullif(count(message_id), 0)",
    "median_seconds_to_read": "quantile_cont(date_diff('millisecond', sent_at, read_at) / 1000, 0.5)",
    "p90_seconds_to_read": "quantile_cont(date_diff('millisecond', sent_at, read_at) / 1000, 0.9)",
    "median_seconds_to_reply": "quantile_cont(if(replied_at < sent_at, 0, date_diff('millisecond', sent_at, replied_at) / 1000), 0.5)",
    "p90_seconds_to_reply": "quantile_cont(if(replied_at < sent_at, 0, date_diff('millisecond', sent_at, replied_at) / 1000), 0.9)",
}
FAILURE_GROUPS = ("recipient", "meta_limit", "opt_out", "quality", "template", "rate", "billing", "account", "technical", "unknown")
SESSION_STARTS |= {
    f"failure_rate_{group}": f"count(*) filter (failure_group = '{group}') / nullif(count(message_id), 0)" for group in FAILURE_GROUPS
}
# In milliseconds rather than as an interval: a second way to compute the same age.
_KNOWN_UNTIL = "(select epoch_ms(if(source = 'botmaker', newest_botmaker_event_at, newest_webhook_event_at)) from publish_info)"
REPLY_WINDOWS = {"1h": 1, "24h": 24, "72h": 72, "7d": 168}
for _name, _hours in REPLY_WINDOWS.items():
    _mature = f"is_sent and coalesce({_KNOWN_UNTIL} - epoch_ms(sent_at) > {_hours} * 3600000, false)"
    _replied = f"{_mature} and epoch_ms(first_reply_at) - epoch_ms(sent_at) <= {_hours} * 3600000"
    SESSION_STARTS |= {
        f"mature_sends_{_name}": f"count(*) filter ({_mature})",
        f"mature_replied_{_name}": f"count(*) filter ({_replied})",
        f"reply_rate_within_{_name}": f"count(*) filter ({_replied}) / nullif(count(*) filter ({_mature}), 0)",
        f"immature_share_{_name}": f"1 - count(*) filter ({_mature}) / nullif(count(*) filter (is_sent), 0)",
        **{
            f"reply_rate_within_{_name}_{evidence}": f"count(*) filter ({_replied} and reply_evidence = '{evidence}') "
            f"/ nullif(count(*) filter ({_mature}), 0)"
            for evidence in ("quoted", "window")
        },
    }
NOTIFICATIONS = {
    "notifications": "count(*)",
    "notifications_delivered": "count(*) filter (is_delivered)",
    "notifications_into_open_sessions": "count(*) filter (not is_session_start)",
    "open_session_share": "count(*) filter (not is_session_start) / nullif(count(*), 0)",
}

_COST_OF_STARTS = "sum(cost) filter (session_start_id is not null and (template_name is not null or notification_name is not null))"
_STARTS = "(select count(*) filter ({}) from fct_session_starts where is_in_report)"
BILLED_MESSAGES = {
    "billed_messages": "count(*)",
    "billed_messages_delivered": "count(*) filter (is_delivered)",
    "charged_messages": "count(*) filter (is_charged)",
    "unpriced_messages": "count(*) filter (cost is null)",
    "unpriced_share": "count(*) filter (cost is null) / nullif(count(*) filter (is_delivered), 0)",
    "cost": "sum(cost)::double",
    "cost_of_session_starts": f"{_COST_OF_STARTS}::double",
    "cost_per_delivered": f"{_COST_OF_STARTS}::double / {_STARTS.format('is_delivered')}",
    "cost_per_replied": f"{_COST_OF_STARTS}::double / {_STARTS.format('is_replied')}",
}


def plain_sql(metrics: dict[str, str], mart: str, group_by: str | None = None) -> str:
    """Return one query for all metrics of a mart; a share with the denominator 0 is null."""
    columns = ", ".join(f"{expression} as {name}" for name, expression in metrics.items())
    condition = "is_in_report" if mart == "fct_session_starts" else "true"
    keys = f"{group_by}, " if group_by else ""
    return f"select {keys}{columns} from {mart} where {condition}" + (f" group by {group_by}" if group_by else "")


AGGREGATES = {
    "count": "count({0})",
    "sum": "sum({0})::double",
    "count_distinct": "count(distinct {0})",
    "sum_boolean": "count(*) filter ({0})",
    "median": "percentile_cont(0.5) within group (order by {0})",
    "percentile": "percentile_cont({1}) within group (order by {0})",
}

# One send of each last status, a second one that was not sent, a reply without a read receipt and before its send, and two starts by
# people. The person has a different number in each row.
FACTS = """
    create table fct_session_starts as
    select
        *,
        message_id is not null and last_status = 'not_sent' as is_not_sent,
        coalesce(last_status in ('sent', 'delivered', 'read', 'replied'), false) as is_sent,
        coalesce(last_status in ('delivered', 'read', 'replied'), false) as is_delivered,
        coalesce(last_status in ('read', 'replied'), false) as is_read,
        case when message_id is not null then last_status = 'replied' end as is_replied,
        session_start_id as contact_id,
        timestamp '2026-10-01 12:00:00' - to_hours(coalesce(hours_earlier, 0)) as sent_at,
        sent_at as session_started_at,
        sent_at + to_seconds(seconds_to_read) as read_at,
        sent_at + to_seconds(seconds_to_reply) as replied_at,
        sent_at + to_seconds(seconds_to_first_reply) as first_reply_at
    from (values
        ('a', 'a', 'a', 'u1', 'new', true, 'sent', null, null, null),
        ('b', 'b', 'b', 'u1', 'returning', true, 'delivered', null, null, null),
        ('c', 'c', 'c', 'u2', 'new', true, 'read', null, 10, null),
        ('d', 'd', 'd', 'u2', 'returning', true, 'replied', null, 30, 60),
        ('e', 'e', 'e', 'u2', 'new', true, 'replied', null, null, -5),
        ('f', null, 'f', 'u4', 'new', true, 'not_sent', 'recipient', null, null),
        ('g', null, 'g', 'u5', 'new', true, 'not_sent', 'unknown', null, null),
        ('h', 'h', null, 'u6', 'new', true, null, null, null, null),
        ('i', 'i', 'i', 'u7', 'new', true, 'pending', null, null, null),
        ('j', 'j', null, 'u8', 'new', false, null, null, null, null)
    ) as facts (
        session_start_id, session_id, message_id, person_id, user_type, is_in_report, last_status, failure_group,
        seconds_to_read, seconds_to_reply
    )
    -- Of the sent ones, one is exactly 72 h old, which is not older; one is Botmaker's, whose events are known for half an hour; and a
    -- pending one has a late reply.
    left join (values
        ('a', 0, 108000, 'window', 'logs'),
        ('b', 28, 180000, 'quoted', 'logs'),
        ('c', -12, null, null, 'logs'),
        ('d', 98, 60, 'window', 'logs'),
        ('e', 0, -5, 'quoted', 'botmaker'),
        ('i', 98, 144000, 'window', 'logs')
    ) as replies (session_start_id, hours_earlier, seconds_to_first_reply, reply_evidence, source) using (session_start_id);
    create table publish_info as
    select
        'America/Sao_Paulo' as report_timezone, timestamp '2026-10-05 06:00:00' as published_at,
        timestamp '2026-10-05 05:00:00' as newest_event_at, timestamp '2026-10-04 12:00:00' as newest_webhook_event_at,
        timestamp '2026-10-01 12:30:00' as newest_botmaker_event_at;
    -- Messages of starts: two are charged, one of them without a rate, and one is free. Two other messages start nothing.
    create table fct_billed_messages as
    select
        *, is_charged or cost_basis = 'unpriced' as is_delivered, null::varchar as notification_name,
        case when message_id <> 'no pricing' then message_id end as session_start_id,
        case when length(message_id) = 1 then 'offer' end as template_name
    from (values
        ('b', true, 0.0600, 'rate_card'), ('c', true, null, 'unpriced'), ('f', false, 0, 'free'),
        ('session message', true, 0.0080, 'rate_card'), ('no pricing', false, null, 'unpriced')
    ) as messages (message_id, is_charged, cost, cost_basis);
    create table fct_notifications as
    select *, session_id is not null as is_session_start from fct_session_starts where message_id is not null
"""


def metric_value(
    connection: duckdb.DuckDBPyConnection, manifest: dict[str, Any], metrics: dict[str, dict[str, Any]], metric: dict[str, Any]
) -> float | None:
    """Compute a metric from its definition alone, as MetricFlow does."""
    parts = metric["type_params"]
    if metric["type"] == "simple":
        return _measured(connection, manifest, parts["measure"]["name"], _conditions(metric))
    numerator, denominator = (
        _measured(connection, manifest, metrics[part["name"]]["type_params"]["measure"]["name"], _conditions(metrics[part["name"]], part))
        for part in (parts["numerator"], parts["denominator"])
    )
    return numerator / denominator


def _conditions(*filtered: dict[str, Any]) -> list[str]:
    filters = [one["where_sql_template"] for part in filtered if part["filter"] for one in part["filter"]["where_filters"]]
    return [re.sub(r"\{\{ Dimension\('\w+?__(\w+)'\) \}\}", r"\1", one) for one in filters]


def _measured(connection: duckdb.DuckDBPyConnection, manifest: dict[str, Any], measure_name: str, conditions: list[str]) -> float:
    for model in manifest["semantic_models"].values():
        for measure in model["measures"]:
            if measure["name"] == measure_name:
                percentile = (measure["agg_params"] or {}).get("percentile")
                aggregate = AGGREGATES[measure["agg"]].format(measure["expr"], percentile)
                table = model["node_relation"]["alias"]
                expressions = [f", {one['expr']} as {one['name']}" for one in model["dimensions"] if one["expr"]]
                rows = f"(select *{''.join(expressions)} from {table})"
                row = connection.execute(f"select {aggregate} from {rows} where {' and '.join(conditions) or 'true'}").fetchone()
                assert row is not None
                return row[0]
    raise AssertionError(measure_name)

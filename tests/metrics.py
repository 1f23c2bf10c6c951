"""Every metric a second time, as plain SQL on the marts."""

SESSION_STARTS = {
    "session_starts": "count(session_id)",
    "session_starts_and_attempts": "count(*)",
    "distinct_users": "count(distinct contact_id)",
    "users_sent_to": "count(distinct contact_id) filter (is_sent)",
    "users_who_answered": "count(distinct contact_id) filter (is_replied)",
    "sends": "count(*) filter (message_id is not null)",
    "not_sent": "count(*) filter (last_status = 'not_sent')",
    "sent": "count(*) filter (last_status in ('sent', 'delivered', 'read', 'replied'))",
    "delivered": "count(*) filter (last_status in ('delivered', 'read', 'replied'))",
    "read": "count(*) filter (last_status in ('read', 'replied'))",
    "answered": "count(*) filter (last_status = 'replied')",
    "delivery_rate": "count(*) filter (is_delivered) / nullif(count(*) filter (is_sent), 0)",
    "read_rate": "count(*) filter (is_read) / nullif(count(*) filter (is_sent), 0)",
    "answer_rate": "count(*) filter (is_replied) / nullif(count(*) filter (is_sent), 0)",
    "read_rate_of_delivered": "count(*) filter (is_read) / nullif(count(*) filter (is_delivered), 0)",
    "answer_rate_of_delivered": "count(*) filter (is_replied) / nullif(count(*) filter (is_delivered), 0)",
    "answer_rate_of_read": "count(*) filter (is_replied) / nullif(count(*) filter (is_read), 0)",
    "answer_rate_of_users": "count(distinct contact_id) filter (is_replied) / nullif(count(distinct contact_id) filter (is_sent), 0)",
    "new_user_share": "count(session_id) filter (user_type = 'new') / nullif(count(session_id), 0)",
    "returning_user_share": "count(session_id) filter (user_type = 'returning') / nullif(count(session_id), 0)",
    "failure_rate": "count(*) filter (is_not_sent) / nullif(count(message_id), 0)",
    "median_seconds_to_read": "quantile_cont(date_diff('millisecond', sent_at, read_at) / 1000, 0.5)",
    "p90_seconds_to_read": "quantile_cont(date_diff('millisecond', sent_at, read_at) / 1000, 0.9)",
    "median_seconds_to_answer": "quantile_cont(date_diff('millisecond', sent_at, replied_at) / 1000, 0.5)",
    "p90_seconds_to_answer": "quantile_cont(date_diff('millisecond', sent_at, replied_at) / 1000, 0.9)",
}
FAILURE_GROUPS = ("recipient", "meta_limit", "opt_out", "quality", "template", "rate", "billing", "account", "technical", "unknown")
SESSION_STARTS |= {
    f"failure_rate_{group}": f"count(*) filter (failure_group = '{group}') / nullif(count(message_id), 0)" for group in FAILURE_GROUPS
}
NOTIFICATIONS = {
    "notifications": "count(*)",
    "notifications_delivered": "count(*) filter (is_delivered)",
    "notifications_into_open_sessions": "count(*) filter (not is_session_start)",
    "open_session_share": "count(*) filter (not is_session_start) / nullif(count(*), 0)",
}


def plain_sql(metrics: dict[str, str], mart: str, group_by: str | None = None) -> str:
    """Return one query for all metrics of a mart; a share of nothing is nothing."""
    columns = ", ".join(f"{expression} as {name}" for name, expression in metrics.items())
    condition = "is_in_report" if mart == "fct_session_starts" else "true"
    keys = f"{group_by}, " if group_by else ""
    return f"select {keys}{columns} from {mart} where {condition}" + (f" group by {group_by}" if group_by else "")

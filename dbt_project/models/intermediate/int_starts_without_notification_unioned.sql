-- depends_on: {{ ref('int_people_to_recompute') }}
{{ config(
    materialized='incremental',
    unique_key=['source', 'session_start_id'],
    incremental_strategy='replace_people',
    partition_by=partition_column('session_start_date'),
    post_hook="{{ log_all_days_changed() }}"
) }}

with sends as (

    select * from {{ ref('int_sends_described') }}

),

inbound_starts as (

    select * from {{ ref('int_inbound_starts_described') }}

),

botmaker_starts as (

    select * from {{ ref('int_botmaker_sessions_described') }}

),

session_messages as (

    select
        *,
        {{ report_date('session_started_at') }} as session_start_date,
        false as is_in_report,
        'logs' as source
    from sends
    where is_session_start and not is_notification

),

starts_without_send as (

    select
        session_id, session_started_at, origin, channel_id, channel_name, line_number, person_id, contact_id, user_type,
        null as customer_id, null as chat_link, 'logs' as source
    from inbound_starts
    union all
    select
        session_id, session_started_at, origin, channel_id, channel_name, line_number, person_id, contact_id, user_type,
        customer_id, chat_link, 'botmaker' as source
    from botmaker_starts

),

described_starts_without_send as (

    select
        *,
        session_id as session_start_id,
        {{ report_date('session_started_at') }} as session_start_date,
        origin in {{ origins_in_report() }} as is_in_report,
        null as message_id,
        null as template_name, null as template_language, null as notification_name,
        null as sent_at, null as delivered_at, null as read_at, null as replied_at,
        null as first_reply_at, null as reply_evidence, null as failed_at,
        false as is_not_sent, false as is_sent, false as is_delivered, false as is_read, null as is_replied,
        null as last_status, null as failure_code, null as failure_group, null as failure_action, null as failure_reason,
        null as failure_detail, null as agent_groups
    from starts_without_send

),

final as (

    select
        {{ session_start_columns() | join(',\n        ') }}
    from session_messages
    union all
    select
        {{ session_start_columns() | join(',\n        ') }}
    from described_starts_without_send

)

select * from final
{{ in_day_order('session_start_date') }}

-- depends_on: {{ ref('int_conversations_touched') }}
{{ config(
    unique_key='session_start_id',
    incremental_strategy='replace_conversations',
    post_hook="{{ note_new_days() }}"
) }}

with sends as (

    select * from {{ ref('int_sends_described') }}

),

inbound_starts as (

    select * from {{ ref('int_inbound_starts_described') }}

),

starts as (

    select
        session_start_id, session_id, session_started_at, origin,
        channel_id, channel_name, line_number, contact_id, customer_id, user_type,
        message_id, template_name, template_language, notification_name,
        sent_at, delivered_at, read_at, replied_at, failed_at,
        is_not_sent, is_sent, is_delivered, is_read, is_replied, last_status,
        failure_code, failure_group, failure_reason, failure_detail,
        agent_groups, chat_link
    from sends
    where is_session_start
    union all
    select
        session_id as session_start_id, session_id, session_started_at, origin,
        channel_id, channel_name, line_number, contact_id, null as customer_id, user_type,
        null as message_id, null as template_name, null as template_language, null as notification_name,
        null as sent_at, null as delivered_at, null as read_at, null as replied_at, null as failed_at,
        false as is_not_sent, false as is_sent, false as is_delivered, false as is_read, null as is_replied, null as last_status,
        null as failure_code, null as failure_group, null as failure_reason, null as failure_detail,
        null as agent_groups, null as chat_link
    from inbound_starts

),

dated_starts as (

    select
        *,
        {{ report_date('session_started_at') }} as session_start_date,
        origin in {{ origins_in_report() }} as is_in_report,
        'logs' as source
    from starts

),

final as (

    select
        {{ session_start_columns() | join(',\n        ') }}
    from dated_starts

)

select * from final

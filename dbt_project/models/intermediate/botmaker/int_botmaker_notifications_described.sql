{{ config(materialized='view') }}

with notifications_with_status as (

    select * from {{ ref('int_botmaker_notifications_with_status') }}

),

notifications_replied as (

    select * from {{ ref('int_botmaker_notifications_replied') }}

),

sessions_started as (

    select * from {{ ref('int_botmaker_sessions_started') }}

),

threads_started as (

    select * from {{ ref('int_threads_started') }}

),

lines_named as (

    select * from {{ ref('int_lines_named') }}

),

failure_reasons as (

    select * from {{ ref('failure_reasons') }}

),

replied_notifications as (

    select
        notifications_with_status.*,
        notifications_replied.replied_at
    from notifications_with_status
    left join notifications_replied
        on notifications_with_status.message_key = notifications_replied.message_key

),

flagged_notifications as (

    select
        replied_notifications.*,
        {{ send_flags('replied_notifications') }}
    from replied_notifications

),

final as (

    select
        sessions_started.session_id as session_start_id,
        sessions_started.session_id,
        sessions_started.session_started_at,
        case
            when flagged_notifications.is_session_start then sessions_started.origin
            else {{ origin_of_send('flagged_notifications.notification_name', 'flagged_notifications.template_name') }}
        end as origin,
        sessions_started.channel_id,
        lines_named.channel_name,
        lines_named.line_number,
        sessions_started.person_id,
        sessions_started.contact_id,
        sessions_started.customer_id,
        {{ user_type(
            'threads_started.first_session_started_at', 'sessions_started.customer_created_at', 'sessions_started.session_started_at'
        ) }} as user_type,
        flagged_notifications.message_id,
        flagged_notifications.template_name,
        cast(null as {{ dbt.type_string() }}) as template_language,
        flagged_notifications.notification_name,
        flagged_notifications.sent_at,
        flagged_notifications.delivered_at,
        flagged_notifications.read_at,
        flagged_notifications.replied_at,
        -- Replies in Botmaker quote nothing, and its sessions have no reply horizon.
        flagged_notifications.replied_at as first_reply_at,
        case when flagged_notifications.replied_at is not null then 'window' end as reply_evidence,
        flagged_notifications.failed_at,
        flagged_notifications.is_not_sent,
        flagged_notifications.is_sent,
        flagged_notifications.is_delivered,
        flagged_notifications.is_read,
        flagged_notifications.is_replied,
        {{ last_status('flagged_notifications') }} as last_status,
        flagged_notifications.failure_code,
        {{ failure_columns('flagged_notifications', 'failure_reasons', 'unknown_reason') }},
        flagged_notifications.failure_detail,
        cast(null as {{ dbt.type_string() }}) as agent_groups,
        {{ botmaker_chat_link('sessions_started.customer_id') }} as chat_link,
        flagged_notifications.is_session_start
    from flagged_notifications
    inner join sessions_started
        on flagged_notifications.session_key = sessions_started.session_key
    inner join threads_started
        on sessions_started.thread_key = threads_started.thread_key
    inner join lines_named
        on sessions_started.channel_id = lines_named.channel_id
    left join failure_reasons
        on flagged_notifications.failure_code = failure_reasons.failure_code
    left join failure_reasons as unknown_reason
        on unknown_reason.failure_code = 'unknown'

)

select * from final

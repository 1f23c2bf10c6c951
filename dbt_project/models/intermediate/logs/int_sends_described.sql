{{ config(materialized='view') }}

with sends as (

    select * from {{ ref('int_sends_deduplicated') }}

),

sends_with_status as (

    select * from {{ ref('int_sends_with_status') }}

),

sends_replied as (

    select * from {{ ref('int_sends_replied') }}

),

activities as (

    select * from {{ ref('int_activities_sessionized') }}

),

-- An attempt belongs to no session: its null joins with nothing. With a condition on one side of the join instead, DuckDB compared every
-- send with every session.
activities_with_session as (

    select
        message_key,
        thread_key,
        case when not is_attempted_start then session_number end as matching_session_number,
        is_session_start,
        is_attempted_start
    from activities

),

sessions_started as (

    select * from {{ ref('int_sessions_started') }}

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

sends_in_sessions as (

    select
        sends_with_status.*,
        sends_replied.replied_at,
        sends_replied.first_reply_at,
        sends_replied.reply_evidence,
        sessions_started.session_id,
        coalesce(sessions_started.session_started_at, sends_with_status.sent_at) as session_started_at,
        threads_started.first_session_started_at,
        activities_with_session.is_session_start or activities_with_session.is_attempted_start as is_session_start
    from sends_with_status
    inner join activities_with_session
        on sends_with_status.message_key = activities_with_session.message_key
    left join sends_replied
        on sends_with_status.message_key = sends_replied.message_key
    left join sessions_started
        on activities_with_session.thread_key = sessions_started.thread_key
        and activities_with_session.matching_session_number = sessions_started.session_number
    left join threads_started
        on activities_with_session.thread_key = threads_started.thread_key

),

flagged_sends as (

    select
        sends_in_sessions.message_key,
        sends_in_sessions.message_id,
        coalesce(sends_in_sessions.session_id, sends_in_sessions.message_id) as session_start_id,
        sends_in_sessions.session_id,
        sends_in_sessions.channel_id,
        sends_in_sessions.person_id,
        sends_in_sessions.sent_at,
        sends_in_sessions.delivered_at,
        sends_in_sessions.read_at,
        sends_in_sessions.replied_at,
        sends_in_sessions.first_reply_at,
        sends_in_sessions.reply_evidence,
        sends_in_sessions.failed_at,
        sends_in_sessions.session_started_at,
        sends_in_sessions.first_session_started_at,
        sends_in_sessions.is_notification,
        sends_in_sessions.is_session_start,
        sends_in_sessions.is_not_sent,
        sends_in_sessions.may_change,
        {{ send_flags('sends_in_sessions') }},
        sends_in_sessions.failure_code,
        sends_in_sessions.failure_detail
    from sends_in_sessions

),

final as (

    select
        flagged_sends.*,
        {{ last_status('flagged_sends') }} as last_status,
        {{ failure_columns('flagged_sends', 'failure_reasons', 'unknown_reason') }},
        {{ origin_of_send('sends.notification_name', 'sends.template_name') }} as origin,
        lines_named.channel_name,
        lines_named.line_number,
        {{ display_identifier('sends.given_contact_id') }} as contact_id,
        sends.customer_id,
        {{ user_type(
            'flagged_sends.first_session_started_at', 'sends.customer_created_at', 'flagged_sends.session_started_at'
        ) }} as user_type,
        sends.template_name,
        sends.template_language,
        sends.notification_name,
        sends.agent_groups,
        sends.chat_link
    from flagged_sends
    inner join sends
        on flagged_sends.message_key = sends.message_key
        and sends.is_kept
    inner join lines_named
        on flagged_sends.channel_id = lines_named.channel_id
    left join failure_reasons
        on flagged_sends.failure_code = failure_reasons.failure_code
    left join failure_reasons as unknown_reason
        on unknown_reason.failure_code = 'unknown'

)

select * from final

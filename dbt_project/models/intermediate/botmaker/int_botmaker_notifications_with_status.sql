with sessions_started as (

    select * from {{ ref('int_botmaker_sessions_started') }}

),

session_events as (

    select * from {{ ref('int_botmaker_events_deduplicated') }}

),

session_messages as (

    select * from {{ ref('int_botmaker_messages_deduplicated') }}

),

sent_results as (

    select * from {{ ref('int_botmaker_sent_results_merged') }}

),

notification_events as (

    select *
    from session_events
    where session_key in (select sessions_started.session_key from sessions_started)

),

-- Copies of one message may have different times, and the earliest may lack the template. An agent may push a template, too.
business_message_copies as (

    select
        *,
        min(case when template_name is not null then happened_at end) over (partition by message_key) as template_known_at
    from session_messages
    where sender in ('bot', 'agent') and session_key in (select sessions_started.session_key from sessions_started)

),

business_messages as (

    select
        message_key,
        any_value(session_key) as session_key,
        any_value(message_id) as message_id,
        min(case when happened_at = template_known_at then template_name end) as template_name,
        min(happened_at) as happened_at
    from business_message_copies
    group by message_key

),

pivoted_events as (

    select
        message_key,
        any_value(session_key) as session_key,
        any_value(message_id) as message_id,
        min(case when status = 'sent' then happened_at end) as sent_status_at,
        min(case when status = 'delivered' then happened_at end) as delivered_at,
        min(case when status = 'read' then happened_at end) as read_at,
        min(case when status = 'failed' then happened_at end) as failed_at,
        min(happened_at) as first_event_at
    from notification_events
    group by message_key

),

ranked_templates as (

    select
        message_key,
        template_name,
        row_number() over (partition by message_key order by happened_at, event_name, template_name) as template_rank
    from notification_events
    where template_name is not null

),

ranked_failures as (

    select
        message_key,
        failure_detail,
        row_number() over (
            partition by message_key order by happened_at, failure_detail is null, failure_detail
        ) as failure_rank
    from notification_events
    where status = 'failed'

),

-- If an event is missing, the message itself gives the template and the time of the send.
notifications as (

    select
        pivoted_events.message_key,
        pivoted_events.session_key,
        pivoted_events.message_id,
        coalesce(first_templates.template_name, business_messages.template_name) as template_name,
        pivoted_events.sent_status_at,
        coalesce(pivoted_events.sent_status_at, business_messages.happened_at) as sent_at,
        pivoted_events.delivered_at,
        pivoted_events.read_at,
        pivoted_events.failed_at,
        pivoted_events.first_event_at,
        first_failures.failure_detail
    from pivoted_events
    left join business_messages
        on pivoted_events.message_key = business_messages.message_key
    left join ranked_templates as first_templates
        on pivoted_events.message_key = first_templates.message_key
        and first_templates.template_rank = 1
    left join ranked_failures as first_failures
        on pivoted_events.message_key = first_failures.message_key
        and first_failures.failure_rank = 1
    union all
    select
        message_key,
        session_key,
        message_id,
        template_name,
        null as sent_status_at,
        happened_at as sent_at,
        null as delivered_at,
        null as read_at,
        null as failed_at,
        null as first_event_at,
        null as failure_detail
    from business_messages
    where
        template_name is not null
        and not exists (select 1 from pivoted_events where pivoted_events.message_key = business_messages.message_key)

),

notifications_in_sessions as (

    select
        notifications.*,
        sessions_started.is_started_by_push
        and row_number() over (
            partition by notifications.session_key
            order by coalesce(notifications.sent_at, notifications.first_event_at), notifications.message_id
        ) = 1 as is_session_start
    from notifications
    inner join sessions_started
        on notifications.session_key = sessions_started.session_key

),

-- A sent result describes the notification that started its session; all other notifications have a null here, which joins with nothing.
notifications_with_started_session as (

    select
        *,
        case when is_session_start then session_key end as started_session_key
    from notifications_in_sessions

),

notifications_with_results as (

    select
        notifications_with_started_session.message_key,
        notifications_with_started_session.session_key,
        notifications_with_started_session.message_id,
        notifications_with_started_session.template_name,
        notifications_with_started_session.is_session_start,
        notifications_with_started_session.first_event_at,
        notifications_with_started_session.failure_detail,
        sent_results.notification_name,
        sent_results.answered_at,
        {{ earliest('notifications_with_started_session.sent_status_at', 'sent_results.sent_at') }} as sent_status_at,
        {{ earliest('notifications_with_started_session.sent_at', 'sent_results.sent_at') }} as sent_at,
        {{ earliest('notifications_with_started_session.delivered_at', 'sent_results.delivered_at') }} as delivered_at,
        {{ earliest('notifications_with_started_session.read_at', 'sent_results.read_at') }} as read_at,
        {{ earliest('notifications_with_started_session.failed_at', 'sent_results.failed_at') }} as failed_at
    from notifications_with_started_session
    left join sent_results
        on notifications_with_started_session.started_session_key = sent_results.session_key

),

notifications_with_outcome as (

    select
        *,
        coalesce(sent_at, first_event_at) as notification_at,
        failed_at is not null and delivered_at is null and read_at is null and answered_at is null as is_not_sent
    from notifications_with_results

),

final as (

    select
        message_key,
        session_key,
        message_id,
        template_name,
        notification_name,
        sent_at,
        sent_status_at,
        delivered_at,
        read_at,
        failed_at,
        answered_at,
        notification_at,
        lead(notification_at) over (partition by session_key order by notification_at, message_id) as next_notification_at,
        is_session_start,
        is_not_sent,
        case when is_not_sent then {{ failure_code_from_text('failure_detail') }} end as failure_code,
        case when is_not_sent then failure_detail end as failure_detail
    from notifications_with_outcome

)

select * from final

{% set timeout = "interval '" ~ var('session_timeout_hours') ~ "' hour" %}

with sends_statused as (

    select * from {{ ref('int_sends_statused') }}

),

inbound_messages as (

    select * from {{ ref('int_inbound_messages_deduplicated') }}

),

-- One row per moment something happened. A send that was not sent is no activity: it waits in the
-- same row set only to learn which session, if any, was open at its time.
moments as (

    select
        message_key,
        message_id,
        conversation_key,
        true as is_send,
        sent_at as happened_at,
        case when not is_not_sent then sent_at end as activity_at,
        case when not is_not_sent and is_notification then sent_at end as notification_at
    from sends_statused
    union all
    select
        message_key,
        message_id,
        conversation_key,
        false as is_send,
        happened_at,
        happened_at as activity_at,
        cast(null as timestamp) as notification_at
    from inbound_messages
    where
        {{ is_touched() }}
        and is_kept

),

-- Times alone decide where a session starts, so equal times need no order here: of several moments at
-- the start of a session any one is marked, and int_sessions_started names the right one.
moments_in_order as (

    select
        *,
        max(activity_at) over (
            partition by conversation_key order by happened_at rows between unbounded preceding and 1 preceding
        ) as previous_activity_at,
        max(activity_at) over (
            partition by conversation_key order by happened_at range between unbounded preceding and current row
        ) as latest_activity_at,
        max(notification_at) over (
            partition by conversation_key order by happened_at range between unbounded preceding and current row
        ) as latest_notification_at
    from moments

),

moments_judged as (

    select
        *,
        case
            when activity_at is null then null
            when previous_activity_at is null or happened_at > previous_activity_at + {{ timeout }} then happened_at
        end as starts_session_at,
        activity_at is null
        and (latest_activity_at is null or happened_at > latest_activity_at + {{ timeout }}) as is_attempted_start
    from moments_in_order

),

moments_in_sessions as (

    select
        message_key,
        message_id,
        conversation_key,
        is_send,
        happened_at,
        activity_at is not null as is_activity,
        is_attempted_start,
        latest_notification_at,
        case
            when not is_attempted_start
                then max(starts_session_at) over (
                    partition by conversation_key order by happened_at range between unbounded preceding and current row
                )
        end as session_started_at,
        min(starts_session_at) over (partition by conversation_key) as first_session_started_at
    from moments_judged

),

final as (

    select
        message_key,
        message_id,
        conversation_key,
        is_send,
        happened_at,
        is_activity,
        is_attempted_start,
        latest_notification_at,
        session_started_at,
        coalesce(first_session_started_at >= coalesce(session_started_at, happened_at), true) as is_first_session
    from moments_in_sessions
    -- The window leaves rows in the order of their hash. Sorted by time here, where they are narrow, they pass
    -- it on to the marts, whose days then lie together: a day is replaced and exported in a third of the time.
    order by happened_at

)

select * from final

{% set timeout = "interval '" ~ var('session_timeout_hours') ~ "' hour" %}

with sends as (

    select * from {{ ref('int_sends_with_status') }}

),

inbound_messages as (

    select * from {{ ref('int_inbound_messages_classified') }}

),

-- One row per event. A send that was not sent is not an activity; it is included, after everything else in its second, only to find the
-- session that was open at its time, if any.
send_events as (

    select
        message_key,
        message_id,
        thread_key,
        true as is_send,
        case when is_not_sent then 'not sent' when is_notification then 'notification' else 'session message' end as kind,
        sent_at as happened_at,
        {{ whole_second('sent_at') }} as ordered_at
    from sends

),

inbound_activities as (

    select
        *,
        {{ whole_second('happened_at') }} as happened_second
    from inbound_messages
    where
        {{ is_to_recompute() }}
        and is_activity

),

-- A message comes after the send that it quotes; if its time is earlier, the clocks differ.
inbound_events as (

    select
        inbound_activities.message_key,
        inbound_activities.message_id,
        inbound_activities.thread_key,
        false as is_send,
        case
            when quoted_sends.kind = 'session message' and quoted_sends.ordered_at >= inbound_activities.happened_second
                then 'inbound after session message'
            else 'inbound'
        end as kind,
        inbound_activities.happened_at,
        case
            when quoted_sends.ordered_at > inbound_activities.happened_second then quoted_sends.ordered_at
            else inbound_activities.happened_second
        end as ordered_at
    from inbound_activities
    left join send_events as quoted_sends
        on inbound_activities.quoted_message_key = quoted_sends.message_key
        and inbound_activities.thread_key = quoted_sends.thread_key

),

events as (

    select * from send_events
    union all
    select * from inbound_events

),

ranked_events as (

    select
        *,
        case kind
            when 'notification' then 0
            when 'inbound' then 1
            when 'session message' then 2
            when 'inbound after session message' then 3
            else 4
        end as place_in_second,
        case when kind <> 'not sent' then ordered_at end as activity_at
    from events

),

events_with_previous_activity as (

    select
        *,
        max(activity_at) over (
            partition by thread_key order by ordered_at, place_in_second, message_id
            rows between unbounded preceding and 1 preceding
        ) as previous_activity_at
    from ranked_events

),

events_with_session_state as (

    select
        *,
        previous_activity_at is null or ordered_at > previous_activity_at + {{ timeout }} as is_without_open_session
    from events_with_previous_activity

),

final as (

    select
        message_key,
        message_id,
        thread_key,
        is_send,
        happened_at,
        ordered_at,
        place_in_second,
        kind = 'notification' as is_notification,
        kind <> 'not sent' as is_activity,
        kind <> 'not sent' and is_without_open_session as is_session_start,
        kind = 'not sent' and is_without_open_session as is_attempted_start,
        count(case when kind <> 'not sent' and is_without_open_session then 1 end) over (
            partition by thread_key order by ordered_at, place_in_second, message_id
            rows between unbounded preceding and current row
        ) as session_number,
        count(case when kind = 'notification' then 1 end) over (
            partition by thread_key order by ordered_at, place_in_second, message_id
            rows between unbounded preceding and current row
        ) as notification_number
    from events_with_session_state

)

select * from final

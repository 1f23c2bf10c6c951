{% set window = "interval '" ~ var('reply_window_hours') ~ "' hour" %}
{% set horizon = "interval '" ~ var('reply_horizon_days') ~ "' day" %}

with activities as (

    select * from {{ ref('int_activities_sessionized') }}

),

inbound_messages as (

    select * from {{ ref('int_inbound_messages_classified') }}

),

notifications as (

    select message_key, thread_key, notification_number, ordered_at
    from activities
    where is_notification

),

-- A reply that quotes no known send belongs to the latest notification before it.
unquoted_replies as (

    select
        notifications.message_key,
        activities.happened_at,
        'window' as evidence,
        activities.ordered_at <= notifications.ordered_at + {{ window }} as is_in_time
    from activities
    inner join inbound_messages
        on activities.message_key = inbound_messages.message_key
    inner join notifications
        on activities.thread_key = notifications.thread_key
        and activities.notification_number = notifications.notification_number
    where
        not activities.is_send
        and inbound_messages.is_answer
        and not inbound_messages.is_known_quote
        and activities.ordered_at <= notifications.ordered_at + {{ horizon }}

),

replies as (

    select quoted_message_key as message_key, happened_at, 'quoted' as evidence, true as is_in_time
    from inbound_messages
    where is_known_quote and is_answer
    union all
    select message_key, happened_at, evidence, is_in_time from unquoted_replies

),

first_replies as (

    select
        message_key,
        min(case when is_in_time then happened_at end) as replied_at,
        min(happened_at) as first_reply_at,
        min(case when evidence = 'quoted' then happened_at end) as quoted_at
    from replies
    group by message_key

),

final as (

    select
        message_key,
        replied_at,
        first_reply_at,
        case when quoted_at = first_reply_at then 'quoted' else 'window' end as reply_evidence
    from first_replies

)

select * from final

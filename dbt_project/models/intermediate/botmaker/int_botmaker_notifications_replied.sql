{{ config(materialized='view') }}

with notifications as (

    select * from {{ ref('int_botmaker_notifications_with_status') }}

),

session_messages as (

    select * from {{ ref('int_botmaker_messages_deduplicated') }}

),

-- Copies of one message may have different times.
user_messages as (

    select message_key, any_value(session_key) as session_key, min(happened_at) as happened_at
    from session_messages
    where sender = 'user' and session_key in (select notifications.session_key from notifications)
    group by message_key

),

-- If notifications have the same time, the next one's time leaves room for a reply only to the last of them.
replying_messages as (

    select
        notifications.message_key,
        user_messages.happened_at as answered_at
    from notifications
    inner join user_messages
        on notifications.session_key = user_messages.session_key
        and notifications.notification_at <= user_messages.happened_at
    where
        not notifications.is_not_sent
        and (notifications.next_notification_at is null or user_messages.happened_at < notifications.next_notification_at)

),

replies as (

    select message_key, answered_at from replying_messages
    union all
    select message_key, answered_at from notifications where answered_at is not null

),

final as (

    select message_key, min(answered_at) as replied_at
    from replies
    group by message_key

)

select * from final

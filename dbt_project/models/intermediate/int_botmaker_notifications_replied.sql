{{ config(materialized='view') }}

with notifications as (

    select * from {{ ref('int_botmaker_notifications_statused') }}

),

session_messages as (

    select * from {{ ref('int_botmaker_messages_deduplicated') }}

),

-- Of notifications at the same time the next one's time leaves room for an answer only to the last.
messages_answering as (

    select
        notifications.message_key,
        session_messages.happened_at as answered_at
    from notifications
    inner join session_messages
        on notifications.session_key = session_messages.session_key
        and session_messages.sender = 'user'
        and notifications.notification_at <= session_messages.happened_at
    where
        not notifications.is_not_sent
        and (notifications.next_notification_at is null or session_messages.happened_at < notifications.next_notification_at)

),

answers as (

    select message_key, answered_at from messages_answering
    union all
    select message_key, answered_at from notifications where answered_at is not null

),

final as (

    select message_key, min(answered_at) as replied_at
    from answers
    group by message_key

)

select * from final

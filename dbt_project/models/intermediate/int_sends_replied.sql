{% set window = "interval '" ~ var('reply_window_hours') ~ "' hour" %}

with activities as (

    select * from {{ ref('int_activities_sessionized') }}

),

inbound_messages as (

    select * from {{ ref('int_inbound_messages_judged') }}

),

sends as (

    select * from {{ ref('int_sends_deduplicated') }}

),

sends_statused as (

    select * from {{ ref('int_sends_statused') }}

),

touched_messages as (

    select message_key, context_key, is_answer
    from inbound_messages
    where {{ is_touched() }}

),

known_quotes as (

    select touched_messages.message_key
    from touched_messages
    where touched_messages.context_key in (select sends.message_key from sends where sends.is_kept)

),

-- What quotes no known send answers the latest notification before it.
unquoting_answers as (

    select
        activities.conversation_key,
        activities.latest_notification_at as notification_at,
        min(activities.happened_at) as answered_at
    from activities
    inner join touched_messages
        on activities.message_key = touched_messages.message_key
    where
        not activities.is_send
        and activities.happened_at <= activities.latest_notification_at + {{ window }}
        and touched_messages.is_answer
        and activities.message_key not in (select known_quotes.message_key from known_quotes)
    group by activities.conversation_key, activities.latest_notification_at

),

-- Of several notifications at that very time, the last in order: the one with the greatest id.
notifications_answered as (

    select
        sends_statused.message_key,
        unquoting_answers.answered_at,
        row_number() over (
            partition by sends_statused.conversation_key, sends_statused.sent_at
            order by sends_statused.message_id desc
        ) as place
    from unquoting_answers
    inner join sends_statused
        on unquoting_answers.conversation_key = sends_statused.conversation_key
        and unquoting_answers.notification_at = sends_statused.sent_at
    where sends_statused.is_notification and not sends_statused.is_not_sent

),

answers as (

    select message_key, quoted_at as answered_at from sends_statused where quoted_at is not null
    union all
    select message_key, answered_at from notifications_answered where place = 1

),

final as (

    select message_key, min(answered_at) as replied_at
    from answers
    group by message_key

)

select * from final

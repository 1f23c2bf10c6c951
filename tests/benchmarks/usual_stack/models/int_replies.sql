with sends as (
    select * from {{ ref('int_sends_with_status') }}
),

-- A message that quotes none of our sends counts as one without a quote.
messages as (
    select messages.*
    from {{ ref('stg_messages') }} as messages
    left join sends on messages.quoted_message_id = sends.message_id
    where sends.message_id is null
),

notifications as (
    select channel_id, contact_id, sent_at, date_trunc('second', sent_at) as sent_second, message_id
    from sends
    where is_notification and not is_not_sent
),

matched as (
    select notifications.message_id, notifications.sent_second, messages.happened_at
    from messages
    asof join notifications
        on messages.channel_id = notifications.channel_id
        and messages.contact_id = notifications.contact_id
        and messages.happened_at >= notifications.sent_second
),

final as (
    select
        message_id,
        min(case when happened_at <= sent_second + interval 24 hours then happened_at end) as replied_at,
        min(happened_at) as first_reply_at
    from matched
    where happened_at <= sent_second + interval 7 days
    group by message_id
)

select * from final

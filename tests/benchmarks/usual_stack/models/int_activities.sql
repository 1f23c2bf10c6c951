with sends as (
    select * from {{ ref('int_sends_with_status') }}
),

messages as (
    select * from {{ ref('stg_messages') }}
),

unioned as (
    select
        message_id, channel_id, contact_id, sent_at as happened_at,
        case when is_notification then 0 else 2 end as kind,
        not is_not_sent as is_activity
    from sends
    where is_notification or not is_not_sent
    union all
    select message_id, channel_id, contact_id, happened_at, 1, true
    from messages
),

final as (
    select *, date_trunc('second', happened_at) as happened_second
    from unioned
)

select * from final

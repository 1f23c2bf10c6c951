with sends as (
    select * from {{ ref('stg_sends') }}
),

statuses as (
    select * from {{ ref('stg_statuses') }}
),

quotes as (
    select quoted_message_id as message_id, min(happened_at) as quoted_at
    from {{ ref('stg_messages') }}
    where quoted_message_id is not null
    group by quoted_message_id
),

joined as (
    select
        sends.*,
        sent.happened_at as sent_status_at,
        delivered.happened_at as delivered_at,
        read.happened_at as read_at,
        failed.happened_at as failed_at,
        failed.error_code as failed_code,
        failed.error_title as failed_title,
        failed.error_details as failed_details,
        quotes.quoted_at
    from sends
    left join statuses as sent on sends.message_id = sent.message_id and sent.status = 'sent'
    left join statuses as delivered on sends.message_id = delivered.message_id and delivered.status = 'delivered'
    left join statuses as read on sends.message_id = read.message_id and read.status = 'read'
    left join statuses as failed on sends.message_id = failed.message_id and failed.status = 'failed'
    left join quotes on sends.message_id = quotes.message_id
),

final as (
    select
        *,
        (failed_at is not null or error_code is not null)
        and delivered_at is null and read_at is null and quoted_at is null as is_not_sent
    from joined
)

select * from final

with source as (
    select * from {{ source('raw', 'sends') }}
),

typed as (
    select
        *,
        case
            when try_cast(sent_at as bigint) > 100000000000 then make_timestamp(sent_at::bigint * 1000)
            when try_cast(sent_at as bigint) is not null then make_timestamp(sent_at::bigint * 1000000)
            else sent_at::timestamptz at time zone 'UTC'
        end as sent_at_utc
    from source
),

ranked as (
    select *, row_number() over (partition by message_id order by sent_at_utc, contact_id) as copy_number
    from typed
),

final as (
    select
        message_id,
        sent_at_utc as sent_at,
        channel_id,
        ltrim(contact_id, '+') as contact_id,
        regexp_replace(line_number, '[^0-9]', '', 'g') as line_number,
        template_name,
        notification_name,
        template_name is not null or notification_name is not null as is_notification,
        customer_id,
        customer_created_at::timestamptz at time zone 'UTC' as customer_created_at,
        agent_groups,
        chat_link,
        error_code,
        error_title,
        error_details
    from ranked
    where copy_number = 1
)

select * from final

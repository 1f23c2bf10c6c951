with source as (

    select * from {{ source('raw', 'botmaker_session_events') }}

),

with_comparable_session_id as (

    select *, {{ comparable_session_id('session_id') }} as comparable_session_id
    from source

),

renamed as (

    select
        -- ids
        {{ key_hash(['comparable_session_id']) }} as session_key,
        {{ key_hash(['comparable_session_id', 'message_id']) }} as message_key,
        message_id,

        -- strings
        name as event_name,
        case name
            when 'notification-sent' then 'sent'
            when 'notification-delivered' then 'delivered'
            when 'notification-read' then 'read'
            when 'notification-error' then 'failed'
            when 'notification-status-error' then 'failed'
        end as status,
        template_name,
        coalesce(reason, error) as failure_detail,

        -- numerics
        _load_id as load_id,

        -- timestamps
        happened_at

    from with_comparable_session_id

),

final as (

    select *
    from renamed
    where {{ is_notification_event('event_name', 'message_id') }}

)

select * from final

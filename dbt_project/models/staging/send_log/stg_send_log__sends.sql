with source as (

    select * from {{ source('raw', 'sends') }}

),

renamed as (

    select
        -- ids
        {{ key_hash(['message_id']) }} as message_key,
        message_id,
        channel_id as given_channel_id,
        {{ digits_only('line_number') }} as given_line_number,
        {{ comparable_identifier('contact_id') }} as contact_id,
        customer_id,

        -- strings
        template_name,
        template_language,
        notification_name,
        agent_groups,
        chat_link,
        nullif(error_code, '') as error_code,
        coalesce(nullif(error_details, ''), nullif(error_title, '')) as error_detail,
        _line_md5 as line_md5,

        -- numerics
        _load_id as load_id,

        -- booleans
        template_name is not null or notification_name is not null as is_notification,
        has_error,

        -- timestamps
        sent_at,
        customer_created_at

    from source

),

final as (

    select * from renamed

)

select * from final

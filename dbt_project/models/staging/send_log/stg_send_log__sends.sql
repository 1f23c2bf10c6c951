with source as (

    select * from {{ source('raw', 'sends') }}

),

with_display_identifier as (

    select
        *,
        {{ display_identifier('contact_id') }} as contact_id_shown
    from source

),

renamed as (

    select
        -- ids
        {{ key_hash(['message_id']) }} as message_key,
        message_id,
        channel_id as given_channel_id,
        line_number as given_line_number,
        contact_id as given_contact_id,
        {{ comparable_identifier('contact_id_shown') }} as contact_identifier,
        customer_id,

        -- strings
        template_name,
        template_language,
        notification_name,
        agent_groups,
        chat_link,
        {{ normalized_failure_code('error_code') }} as error_code,
        nullif(error_title, '') as error_title,
        nullif(error_details, '') as error_details,

        -- numerics
        _load_id as load_id,

        -- booleans
        template_name is not null or notification_name is not null as is_notification,
        has_error,

        -- timestamps
        sent_at,
        customer_created_at

    from with_display_identifier

),

final as (

    select * from renamed

)

select * from final

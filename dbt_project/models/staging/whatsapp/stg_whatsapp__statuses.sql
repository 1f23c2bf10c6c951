with source as (

    select * from {{ source('raw', 'webhook_statuses') }}

),

with_display_identifier as (

    select
        *,
        {{ display_identifier('recipient_id') }} as recipient_number
    from source

),

renamed as (

    select
        -- ids
        {{ key_hash(['message_id']) }} as message_key,
        message_id,
        phone_number_id as given_channel_id,
        display_phone_number as given_line_number,
        {{ comparable_identifier('recipient_number') }} as recipient_identifier,
        recipient_user_id as user_id,
        recipient_parent_user_id as parent_user_id,

        -- strings
        status,
        {{ normalized_failure_code('error_code') }} as error_code,
        nullif(error_title, '') as error_title,
        nullif(error_message, '') as error_message,
        nullif(error_details, '') as error_details,
        pricing_model,
        -- WhatsApp posts both spellings.
        case {{ lower_case('pricing_category') }}
            when 'authentication_international' then 'authentication-international' else {{ lower_case('pricing_category') }}
        end as pricing_category,
        pricing_type,

        -- numerics
        _load_id as load_id,

        -- booleans
        -- WhatsApp also posts kinds that are not about delivery, such as `deleted` and `warning`.
        status in ('sent', 'delivered', 'read', 'played', 'failed') as is_about_delivery,
        -- Filtering by the identifiers themselves would compute each of them again: 5 of 8 CPU seconds at 2.4M statuses.
        coalesce(recipient_id, recipient_user_id, recipient_parent_user_id) is not null as has_recipient,

        -- timestamps
        happened_at

    from with_display_identifier

),

final as (

    select * from renamed

)

select * from final

with source as (

    select * from {{ source('raw', 'webhook_messages') }}

),

renamed as (

    select
        -- ids
        {{ key_hash(['message_id']) }} as message_key,
        {{ key_hash(['context_message_id']) }} as context_key,
        message_id,
        phone_number_id as given_channel_id,
        {{ digits_only('display_phone_number') }} as given_line_number,
        {{ comparable_identifier('sender_id') }} as contact_id,

        -- strings
        coalesce(message_type, 'unknown') as message_type,
        referral_source_type,
        _line_md5 as line_md5,

        -- numerics
        _load_id as load_id,

        -- booleans
        has_referral,

        -- timestamps
        happened_at

    from source

),

final as (

    select * from renamed

)

select * from final

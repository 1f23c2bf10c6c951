with source as (

    select * from {{ source('raw', 'webhook_echoes') }}

),

with_display_identifier as (

    select
        *,
        {{ display_identifier('recipient_id') }} as contact_id
    from source

),

renamed as (

    select
        -- ids
        {{ key_hash(['message_id']) }} as message_key,
        message_id,
        phone_number_id as given_channel_id,
        -- Without metadata, the sender is the only evidence of the line.
        coalesce(display_phone_number, case when phone_number_id is null then sender_id end) as given_line_number,
        recipient_id as given_contact_id,
        {{ comparable_identifier('contact_id') }} as contact_identifier,

        -- numerics
        _load_id as load_id,

        -- timestamps
        happened_at

    from with_display_identifier

),

final as (

    select * from renamed

)

select * from final

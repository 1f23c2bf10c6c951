with source as (

    select * from {{ source('raw', 'webhook_statuses') }}

),

renamed as (

    select
        -- ids
        {{ key_hash(['message_id']) }} as message_key,
        phone_number_id as given_channel_id,
        {{ digits_only('display_phone_number') }} as given_line_number,

        -- strings
        status,
        nullif(error_code, '') as error_code,
        coalesce(nullif(error_details, ''), nullif(error_message, ''), nullif(error_title, '')) as error_detail,
        _line_md5 as line_md5,

        -- numerics
        _load_id as load_id,

        -- timestamps
        happened_at

    from source

),

final as (

    -- WhatsApp also posts kinds that say nothing about delivery, such as `deleted` and `warning`.
    select *
    from renamed
    where status in ('sent', 'delivered', 'read', 'played', 'failed')

)

select * from final

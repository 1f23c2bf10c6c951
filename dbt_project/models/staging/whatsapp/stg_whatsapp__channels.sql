with source as (

    select * from {{ source('raw', 'webhook_channels') }}

),

renamed as (

    select
        -- ids
        phone_number_id as given_channel_id,
        display_phone_number as given_line_number,

        -- numerics
        _load_id as load_id

    from source

),

final as (

    select * from renamed

)

select * from final

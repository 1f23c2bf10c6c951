with source as (

    select * from {{ source('raw', 'botmaker_channels') }}

),

renamed as (

    select
        -- ids
        channel_id as given_channel_id,
        line_number as given_line_number,

        -- booleans
        coalesce(platform = 'webchat', false) as is_web_chat,

        -- numerics
        _load_id as load_id

    from source

),

final as (

    select * from renamed

)

select * from final

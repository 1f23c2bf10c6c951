with source as (

    select * from {{ source('raw', 'rates') }}

),

renamed as (

    select
        -- strings
        market,
        {{ market_key('market') }} as market_key,
        category,
        currency,
        _file_name as file_name,

        -- numerics
        rate,
        _line_number as source_line,
        _load_id as load_id,

        -- dates
        effective_from

    from source

),

final as (

    select * from renamed

)

select * from final

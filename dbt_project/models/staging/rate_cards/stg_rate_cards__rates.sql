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

        -- numerics
        rate,
        _load_id as load_id,

        -- dates
        effective_from

    from source

),

final as (

    select * from renamed

)

select * from final

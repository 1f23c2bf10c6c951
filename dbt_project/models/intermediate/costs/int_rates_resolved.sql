{{ config(materialized='view') }}

with rates as (

    select * from {{ ref('stg_rate_cards__rates') }}

),

markets as (

    select * from {{ ref('markets') }}

),

names_of_markets as (

    select {{ market_key('country') }} as market_key, country as market from markets
    union
    select {{ market_key('market_name') }} as market_key, country as market from markets
    union
    select {{ market_key('market_group') }} as market_key, market_group as market from markets

),

final as (

    select
        names_of_markets.market,
        rates.market as market_given,
        rates.category,
        rates.currency,
        rates.rate,
        rates.effective_from,
        rates.load_id
    from rates
    left join names_of_markets
        on rates.market_key = names_of_markets.market_key

)

select * from final

{{ config(materialized='view') }}

with rates as (

    select * from {{ ref('int_rates_resolved') }}

),

billing_currencies as (

    {% if var('billing_currency') %}
    select '{{ var("billing_currency") }}' as currency
    {% else %}
    select min(currency) as currency from rates having count(distinct currency) = 1
    {% endif %}

),

-- A warning lists cards that contradict each other; the lower price counts.
lowest_rates as (

    select
        rates.market,
        rates.category,
        rates.currency,
        rates.effective_from,
        min(rates.rate) as rate
    from rates
    inner join billing_currencies
        on rates.currency = billing_currencies.currency
    where rates.market is not null
    group by rates.market, rates.category, rates.currency, rates.effective_from

),

final as (

    select
        market,
        category,
        currency,
        rate,
        effective_from,
        lead(effective_from) over (partition by market, category order by effective_from) as effective_until
    from lowest_rates

)

select * from final

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

-- Cards that contradict each other are named by a warning. A card whose name sorts later corrects an earlier one, and the newest
-- content of a name an older one.
ranked_rates as (

    select
        rates.market,
        rates.category,
        rates.currency,
        rates.rate,
        rates.effective_from,
        row_number() over (
            partition by rates.market, rates.category, rates.currency, rates.effective_from
            order by rates.file_name desc, rates.load_id desc, rates.source_line desc, rates.rate
        ) as place
    from rates
    inner join billing_currencies
        on rates.currency = billing_currencies.currency
    where rates.market is not null

),

one_rate_a_day as (

    select * from ranked_rates where place = 1

),

final as (

    select
        market,
        category,
        currency,
        rate,
        effective_from,
        lead(effective_from) over (partition by market, category order by effective_from) as effective_until
    from one_rate_a_day

)

select * from final

-- A row is something in the rate cards that needs attention (contract, section 5): a market that is not in the seed `markets`, two rates
-- for one market, category and day (the lower one counts), several currencies without a `billing_currency`, or a `billing_currency` without
-- a card.

-- depends_on: {{ ref('fct_billed_messages') }}
{{ config(severity='warn', meta={'dagster': {'ref': {'name': 'fct_billed_messages'}}, 'lists_rows': true}) }}

with rates as (

    select * from {{ ref('int_rates_resolved') }}

)

select 'unknown market' as problem, market_given as market, null as category, null as currency, min(effective_from) as effective_from
from rates
where market is null
group by market_given
union all
select 'two rates' as problem, market, category, currency, effective_from
from rates
where market is not null
group by market, category, currency, effective_from
having count(distinct rate) > 1
union all
{%- if var('billing_currency') %}
select
    'no card in the billing currency' as problem, null as market, null as category, '{{ var("billing_currency") }}' as currency,
    min(effective_from) as effective_from
from rates
having count(*) > 0 and count(case when currency = '{{ var("billing_currency") }}' then 1 end) = 0
{%- else %}
select
    'several currencies and no billing_currency' as problem, null as market, null as category, currency,
    min(effective_from) as effective_from
from rates
where (select count(distinct all_rates.currency) from rates as all_rates) > 1
group by currency
{%- endif %}

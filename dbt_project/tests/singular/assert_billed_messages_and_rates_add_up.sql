-- Every message that a status names has one row, and free + charged with a rate + unpriced = all rows; landed rates = rates of a known
-- market + rates of an unknown market (contract, section 5). A row is a sum that does not hold.
{{ config(meta={'dagster': {'ref': {'name': 'fct_billed_messages'}}}) }}

with bill as (

    select
        count(*) as messages,
        count(case when cost_basis = 'free' and cost = 0 and rate is null then 1 end) as free,
        count(case when cost_basis = 'rate_card' and is_charged and cost = rate and currency is not null then 1 end) as with_rate,
        count(case when cost_basis = 'unpriced' and is_delivered and cost is null then 1 end) as unpriced
    from {{ ref('fct_billed_messages') }}

),

known_messages as (

    select count(*) as messages from {{ ref('int_statuses_merged') }}

),

landed_rates as (

    select count(*) as rates from {{ source('raw', 'rates') }}

),

known_rates as (

    select count(*) as rates from {{ ref('int_rates_resolved') }}

)

select 'messages of statuses' as what, known_messages.messages as expected, bill.messages as found
from bill
cross join known_messages
where known_messages.messages <> bill.messages
union all
select 'free, charged with a rate, unpriced' as what, messages as expected, free + with_rate + unpriced as found
from bill
where messages <> free + with_rate + unpriced
union all
select 'rates of the cards' as what, landed_rates.rates as expected, known_rates.rates as found
from landed_rates
cross join known_rates
where landed_rates.rates <> known_rates.rates

-- Kept sends and echoes plus their duplicates must add up to what landed (contract, section 3). A row means that a send or an echo was lost
-- or counted twice after it landed.
{{ config(meta={'dagster': {'ref': {'name': 'int_sends_deduplicated'}}}) }}

with landed as (

    select false as is_echo, count(*) as records from {{ source('raw', 'sends') }}
    union all
    select true as is_echo, count(*) as records from {{ source('raw', 'webhook_echoes') }}

),

accounted_for as (

    select
        is_echo,
        count(case when is_kept then 1 end) as kept,
        coalesce(sum(copies), 0) - count(case when is_kept then 1 end) as duplicates
    from {{ ref('int_sends_deduplicated') }}
    group by is_echo

)

select landed.is_echo, landed.records, accounted_for.kept, accounted_for.duplicates
from landed
left join accounted_for
    on landed.is_echo = accounted_for.is_echo
where landed.records <> coalesce(accounted_for.kept + accounted_for.duplicates, 0)

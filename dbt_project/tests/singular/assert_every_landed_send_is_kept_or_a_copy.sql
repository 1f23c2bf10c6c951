-- Contract, section 3: what was landed = what staging kept + duplicates + kinds that the report does not
-- use. The state model counts the copies behind each row, so a row means that a send was lost or
-- counted twice on its way from the raw table.
{{ config(meta={'dagster': {'ref': {'name': 'int_sends_deduplicated'}}}) }}

with landed as (

    select count(*) as records from {{ source('raw', 'sends') }}

),

accounted_for as (

    select
        count(case when is_kept then 1 end) as kept,
        coalesce(sum(copies), 0) - count(case when is_kept then 1 end) as duplicates
    from {{ ref('int_sends_deduplicated') }}

)

select landed.records, accounted_for.kept, accounted_for.duplicates
from landed
cross join accounted_for
where landed.records <> accounted_for.kept + accounted_for.duplicates

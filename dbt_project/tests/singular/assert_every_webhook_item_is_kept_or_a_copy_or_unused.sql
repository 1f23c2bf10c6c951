-- Webhook statuses and messages that were kept, their duplicates, and the unused kinds must add up to what landed (contract, section 3). A
-- row means that some were lost or counted twice after they landed.
{{ config(meta={'dagster': {'ref': {'name': 'int_statuses_merged'}}}) }}

with statuses_landed as (

    select
        count(*) as records,
        count(case when status not in ('sent', 'delivered', 'read', 'played', 'failed') then 1 end) as unused
    from {{ source('raw', 'webhook_statuses') }}

),

messages_landed as (

    select count(*) as records from {{ source('raw', 'webhook_messages') }}

),

statuses_accounted_for as (

    select
        count(sent_status_at) + count(delivered_at) + count(read_status_at)
        + count(played_status_at) + count(failed_at) as kept,
        coalesce(sum(copies), 0) as landed
    from {{ ref('int_statuses_merged') }}

),

messages_accounted_for as (

    select
        count(case when is_kept then 1 end) as kept,
        coalesce(sum(copies), 0) as landed
    from {{ ref('int_inbound_messages_deduplicated') }}

)

select
    statuses_landed.records as statuses_landed,
    statuses_accounted_for.kept as statuses_kept,
    statuses_accounted_for.landed - statuses_accounted_for.kept as statuses_duplicate,
    statuses_landed.unused as statuses_unused,
    messages_landed.records as messages_landed,
    messages_accounted_for.kept as messages_kept,
    messages_accounted_for.landed - messages_accounted_for.kept as messages_duplicate
from statuses_landed
cross join messages_landed
cross join statuses_accounted_for
cross join messages_accounted_for
where
    statuses_landed.records <> statuses_accounted_for.landed + statuses_landed.unused
    or statuses_accounted_for.landed < statuses_accounted_for.kept
    or messages_landed.records <> messages_accounted_for.landed
    or messages_accounted_for.landed < messages_accounted_for.kept

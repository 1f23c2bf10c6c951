-- Botmaker's sessions, events, messages and sent results that were kept, their duplicates, and the unused ones must add up to what landed
-- (contract, section 3). A row means that some were lost or counted twice after they landed.
{{ config(meta={'dagster': {'ref': {'name': 'int_botmaker_sessions_deduplicated'}}}) }}

with landed as (

    select 'sessions' as kind, count(*) as records from {{ source('raw', 'botmaker_sessions') }}
    union all
    select 'events' as kind, count(*) as records from {{ source('raw', 'botmaker_session_events') }}
    union all
    select 'messages' as kind, count(*) as records from {{ source('raw', 'botmaker_session_messages') }}
    union all
    select 'sent results' as kind, count(*) as records from {{ source('raw', 'botmaker_sent_results') }}

),

accounted_for as (

    select
        'sessions' as kind,
        count(case when is_kept then 1 end) as kept,
        coalesce(sum(copies), 0) as copies,
        0 as unused
    from {{ ref('int_botmaker_sessions_deduplicated') }}
    union all
    select
        'events' as kind,
        count(*) as kept,
        coalesce(sum(copies), 0) as copies,
        (
            select count(*)
            from {{ source('raw', 'botmaker_session_events') }} as events
            where not ({{ is_notification_event('events.name', 'events.message_id') }})
        ) as unused
    from {{ ref('int_botmaker_events_deduplicated') }}
    union all
    select
        'messages' as kind,
        count(*) as kept,
        coalesce(sum(copies), 0) as copies,
        0 as unused
    from {{ ref('int_botmaker_messages_deduplicated') }}
    union all
    select
        'sent results' as kind,
        count(*) as kept,
        coalesce(sum(copies), 0) as copies,
        (select count(*) from {{ source('raw', 'botmaker_sent_results') }} as results where results.session_id is null) as unused
    from {{ ref('int_botmaker_sent_results_merged') }}

)

select
    landed.kind,
    landed.records,
    accounted_for.kept,
    accounted_for.copies - accounted_for.kept as duplicates,
    accounted_for.unused
from landed
inner join accounted_for
    on landed.kind = accounted_for.kind
where
    landed.records <> accounted_for.copies + accounted_for.unused
    or accounted_for.copies < accounted_for.kept

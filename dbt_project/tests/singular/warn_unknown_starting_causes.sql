-- A starting cause of Botmaker that is not in the seed `starting_causes` gives its sessions the origin `other`, outside the report
-- (contract, section 4.4). A row is such a cause with its number of sessions: add it to the seed.
{{ config(severity='warn', meta={'dagster': {'ref': {'name': 'int_botmaker_sessions_deduplicated'}}, 'lists_rows': true}) }}

select sessions.starting_cause, count(*) as sessions
from {{ ref('int_botmaker_sessions_deduplicated') }} as sessions
where
    sessions.is_kept
    and sessions.starting_cause is not null
    and not exists (
        select 1
        from {{ ref('starting_causes') }} as causes
        where {{ lower_case('causes.starting_cause') }} = {{ lower_case('sessions.starting_cause') }}
    )
group by sessions.starting_cause

-- Every kept notification of the logs must be in `fct_notifications`, and every kept Botmaker session in `fct_session_starts`. A row means
-- that a join or an increment lost or duplicated some of them.
{{ config(meta={'dagster': {'ref': {'name': 'fct_session_starts'}}}) }}

with kept as (

    select 'notifications of the logs' as kind, count(*) as records
    from {{ ref('int_sends_deduplicated') }}
    where is_kept and is_notification
    union all
    select 'sessions of Botmaker' as kind, count(*) as records
    from {{ ref('int_botmaker_sessions_deduplicated') }} as sessions
    where
        is_kept {{ '' if var('include_testers') else 'and not is_tester' }}
        -- Sessions whose place a message of the logs takes (int_botmaker_sessions_started).
        and not exists (
            select 1
            from {{ ref('int_sends_deduplicated') }} as sends
            where sends.message_key = {{ key_hash(['sessions.session_id']) }}
        )
        and not exists (
            select 1
            from {{ ref('int_inbound_messages_deduplicated') }} as messages
            where messages.message_key = {{ key_hash(['sessions.session_id']) }}
        )

),

published as (

    select 'notifications of the logs' as kind, count(*) as records
    from {{ ref('fct_notifications') }}
    where source = 'logs'
    union all
    select 'sessions of Botmaker' as kind, count(*) as records
    from {{ ref('fct_session_starts') }}
    where source = 'botmaker'

)

select kept.kind, kept.records as records_kept, published.records as records_in_the_marts
from kept
inner join published
    on kept.kind = published.kind
where kept.records <> published.records

with sessions as (

    select * from {{ ref('int_botmaker_sessions_deduplicated') }}

),

sent_results as (

    select * from {{ ref('int_botmaker_sent_results_merged') }}

),

starting_causes as (

    select * from {{ ref('starting_causes') }}

),

touched_sessions as (

    select *
    from sessions
    where
        {{ is_touched() }}
        and is_kept
        and {{ 'true' if var('include_testers') else 'not is_tester' }}

),

named_sessions as (

    select
        touched_sessions.*,
        case
            when sent_results.session_key is not null then 'mass_notification'
            else coalesce(starting_causes.origin, 'other')
        end as origin
    from touched_sessions
    left join sent_results
        on touched_sessions.session_key = sent_results.session_key
    left join starting_causes
        on touched_sessions.starting_cause = starting_causes.starting_cause

),

final as (

    select
        session_key,
        session_id,
        conversation_key,
        channel_id,
        contact_id,
        customer_id,
        session_started_at,
        customer_created_at,
        origin,
        origin in {{ origins_of_pushes() }} as is_started_by_push,
        session_started_at = min(session_started_at) over (partition by conversation_key) as is_first_session
    from named_sessions

)

select * from final

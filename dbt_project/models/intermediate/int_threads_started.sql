{{ config(materialized='view') }}

with sessions_of_logs as (

    select * from {{ ref('int_sessions_started') }}

),

sessions_of_botmaker as (

    select * from {{ ref('int_botmaker_sessions_started') }}

),

sessions as (

    select thread_key, session_started_at from sessions_of_logs
    union all
    select thread_key, session_started_at from sessions_of_botmaker

),

final as (

    select thread_key, min(session_started_at) as first_session_started_at
    from sessions
    group by thread_key

)

select * from final

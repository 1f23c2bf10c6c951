{{ config(materialized='view') }}

with activities as (

    select * from {{ ref('int_activities_sessionized') }}

),

final as (

    select
        message_key,
        message_id as session_id,
        thread_key,
        session_number,
        happened_at as session_started_at,
        is_send as is_started_by_send
    from activities
    where is_session_start

)

select * from final

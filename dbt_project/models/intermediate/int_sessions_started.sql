with activities as (

    select * from {{ ref('int_activities_sessionized') }}

),

-- At equal times an inbound message comes before a send, then the smaller id.
starting_activities as (

    select
        conversation_key,
        session_started_at,
        min(case when is_send then 's' else 'i' end || message_id) as kind_and_message_id,
        any_value(is_first_session) as is_first_session
    from activities
    where is_activity and happened_at = session_started_at
    group by conversation_key, session_started_at

),

final as (

    select
        substr(kind_and_message_id, 2) as session_id,
        conversation_key,
        session_started_at,
        substr(kind_and_message_id, 1, 1) = 's' as is_started_by_send,
        is_first_session
    from starting_activities

)

select * from final

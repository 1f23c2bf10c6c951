{{ config(materialized='view') }}

-- State of this run is read in place and not through import CTEs: if a query reads a CTE twice, DuckDB keeps it in memory as a whole.
with unavailable_messages as (

    select message_key
    from {{ ref('int_inbound_messages_classified') }}
    where is_unavailable and not has_referral

),

unavailable_starts as (

    select
        message_key,
        thread_key,
        session_number
    from {{ ref('int_activities_sessionized') }}
    where
        is_session_start
        and not is_send
        and message_key in (select unavailable_messages.message_key from unavailable_messages)

),

shown_messages as (

    select
        unavailable_starts.message_key,
        inbound_messages.has_referral,
        inbound_messages.referral_source_type,
        row_number() over (
            partition by unavailable_starts.message_key
            order by activities.ordered_at, activities.place_in_second, activities.message_id
        ) as message_rank
    from unavailable_starts
    inner join {{ ref('int_activities_sessionized') }} as activities
        on unavailable_starts.thread_key = activities.thread_key
        and unavailable_starts.session_number = activities.session_number
    inner join {{ ref('int_inbound_messages_classified') }} as inbound_messages
        on activities.message_key = inbound_messages.message_key
    where
        not activities.is_send
        and not inbound_messages.is_unavailable

),

final as (

    select
        message_key,
        has_referral,
        referral_source_type
    from shown_messages
    where message_rank = 1

)

select * from final

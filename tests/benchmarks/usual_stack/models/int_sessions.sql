with activities as (
    select * from {{ ref('int_activities') }}
),

windowed as (
    select
        *,
        -- A failed attempt does not keep a session open.
        max(case when is_activity then happened_second end) over (
            partition by channel_id, contact_id
            order by happened_second, is_activity desc, kind, message_id
            rows between unbounded preceding and 1 preceding
        ) as previous_at
    from activities
),

final as (
    select
        message_id,
        channel_id,
        contact_id,
        happened_at as session_started_at,
        kind = 1 as is_inbound,
        previous_at is null as is_first_session
    from windowed
    where previous_at is null or happened_second > previous_at + interval 24 hours
)

select * from final

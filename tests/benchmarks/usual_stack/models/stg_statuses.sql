with source as (
    select * from {{ source('raw', 'statuses') }}
),

typed as (
    select
        message_id,
        case when status = 'played' then 'read' else status end as status,
        make_timestamp(timestamp::bigint * 1000000) as happened_at,
        error_code,
        error_title,
        error_details
    from source
),

ranked as (
    select *, row_number() over (partition by message_id, status order by happened_at, error_code) as copy_number
    from typed
),

final as (
    select * exclude (copy_number) from ranked where copy_number = 1
)

select * from final

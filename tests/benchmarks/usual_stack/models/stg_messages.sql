with source as (
    select * from {{ source('raw', 'messages') }}
),

typed as (
    select
        message_id,
        make_timestamp(timestamp::bigint * 1000000) as happened_at,
        phone_number_id as channel_id,
        regexp_replace(display_phone_number, '[^0-9]', '', 'g') as line_number,
        sender as contact_id,
        type,
        quoted_message_id,
        referral_source_type
    from source
    -- A changed number and a removed reaction are not an activity.
    where type not in ('system', 'edit', 'revoke') and (type <> 'reaction' or emoji is not null)
),

ranked as (
    select *, row_number() over (partition by message_id order by happened_at, type) as copy_number
    from typed
),

final as (
    select * exclude (copy_number) from ranked where copy_number = 1
)

select * from final

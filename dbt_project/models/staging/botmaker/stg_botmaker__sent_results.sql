with source as (

    select * from {{ source('raw', 'botmaker_sent_results') }}

),

renamed as (

    select
        -- ids
        {{ key_hash([comparable_session_id('session_id')]) }} as session_key,

        -- strings
        notification_name,

        -- numerics
        _load_id as load_id,

        -- timestamps
        sent_at,
        delivered_at,
        read_at,
        answered_at,
        error_at as failed_at

    from source

),

final as (

    -- A customer who was not reached may have no session.
    select *
    from renamed
    where session_key is not null

)

select * from final

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

    select * from renamed

)

select * from final

with source as (

    select * from {{ source('raw', 'botmaker_session_messages') }}

),

renamed as (

    select
        -- ids
        {{ key_hash([comparable_session_id('session_id')]) }} as session_key,
        {{ key_hash([comparable_session_id('session_id'), 'message_id']) }} as message_key,
        message_id,

        -- strings
        sender,
        template_name,

        -- numerics
        _load_id as load_id,

        -- timestamps
        happened_at

    from source

),

final as (

    select * from renamed

)

select * from final

with source as (

    select * from {{ source('raw', 'botmaker_session_messages') }}

),

with_comparable_session_id as (

    select *, {{ comparable_session_id('session_id') }} as comparable_session_id
    from source

),

renamed as (

    select
        -- ids
        {{ key_hash(['comparable_session_id']) }} as session_key,
        {{ key_hash(['comparable_session_id', 'message_id']) }} as message_key,
        message_id,

        -- strings
        sender,
        template_name,

        -- numerics
        _load_id as load_id,

        -- timestamps
        happened_at

    from with_comparable_session_id

),

final as (

    select * from renamed

)

select * from final

with source as (

    select * from {{ source('raw', 'botmaker_sessions') }}

),

renamed as (

    select
        -- ids
        {{ key_hash([comparable_session_id('session_id')]) }} as session_key,
        session_id,
        channel_id as given_channel_id,
        {{ comparable_identifier('contact_id') }} as contact_id,
        chat_id as customer_id,

        -- strings
        starting_cause,
        _line_md5 as line_md5,

        -- numerics
        events + messages as elements,
        _load_id as load_id,

        -- booleans
        is_tester,

        -- timestamps
        created_at as session_started_at,
        chat_created_at as customer_created_at

    from source

),

final as (

    select * from renamed

)

select * from final

with source as (

    select * from {{ source('raw', 'botmaker_sessions') }}

),

with_display_identifier as (

    select
        *,
        -- A person with a username may have no number. Without any id of the person, the chat id is used.
        {{ display_identifier('coalesce(contact_id, user_id, parent_user_id, chat_id)') }} as contact_id_shown
    from source

),

renamed as (

    select
        -- ids
        {{ key_hash([comparable_session_id('session_id')]) }} as session_key,
        session_id,
        channel_id as given_channel_id,
        contact_id as given_contact_id,
        contact_id_shown as contact_id,
        {{ comparable_identifier('contact_id_shown') }} as contact_identifier,
        user_id,
        parent_user_id,
        chat_id as customer_id,

        -- strings
        starting_cause,

        -- numerics
        events + messages as elements,
        _load_id as load_id,

        -- booleans
        is_tester,

        -- timestamps
        created_at as session_started_at,
        chat_created_at as customer_created_at

    from with_display_identifier

),

final as (

    select * from renamed

)

select * from final

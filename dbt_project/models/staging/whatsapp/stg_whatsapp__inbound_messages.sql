with source as (

    select * from {{ source('raw', 'webhook_messages') }}

),

with_display_identifier as (

    select
        *,
        {{ display_identifier('sender_id') }} as contact_id,
        -- A reaction names its message in a field of its own; every other kind quotes a message.
        case when message_type = 'reaction' then reaction_message_id else context_message_id end as quoted_message_id
    from source

),

renamed as (

    select
        -- ids
        {{ key_hash(['message_id']) }} as message_key,
        {{ key_hash(['quoted_message_id']) }} as quoted_message_key,
        message_id,
        quoted_message_id,
        phone_number_id as given_channel_id,
        display_phone_number as given_line_number,
        sender_id as given_contact_id,
        {{ comparable_identifier('contact_id') }} as contact_identifier,
        sender_user_id as user_id,
        sender_parent_user_id as parent_user_id,

        -- strings
        message_type,
        referral_source_type,
        referral_source_id,

        -- numerics
        _load_id as load_id,

        -- booleans
        has_reaction_emoji,
        is_in_group,
        has_referral,

        -- timestamps
        happened_at

    from with_display_identifier

),

final as (

    select * from renamed

)

select * from final

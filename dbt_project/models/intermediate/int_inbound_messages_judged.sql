{{ config(materialized='view') }}

with inbound_messages as (

    select * from {{ ref('int_inbound_messages_deduplicated') }}

),

inbound_message_types as (

    select * from {{ ref('inbound_message_types') }}

),

final as (

    select
        inbound_messages.message_key,
        inbound_messages.context_key,
        inbound_messages.conversation_key,
        inbound_messages.happened_at,
        coalesce(inbound_message_types.is_answer, true) as is_answer
    from inbound_messages
    left join inbound_message_types
        on inbound_messages.message_type = inbound_message_types.message_type
    where inbound_messages.is_kept

)

select * from final

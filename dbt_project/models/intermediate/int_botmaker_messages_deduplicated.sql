{{ config(
    materialized='incremental',
    unique_key='message_key',
    incremental_strategy='delete+insert'
) }}

with session_messages as (

    select * from {{ ref('stg_botmaker__session_messages') }}

),

new_messages as (

    select * from session_messages {{ loads_not_merged('load_id') }}

),

candidates as (

    select session_key, message_key, message_id, sender, happened_at, template_name, 1 as copies, load_id as last_load_id
    from new_messages
    {% if is_incremental() %}
    union all
    select session_key, message_key, message_id, sender, happened_at, template_name, copies, last_load_id
    from {{ this }}
    where message_key in (select new_messages.message_key from new_messages)
    {% endif %}

),

final as (

    select
        message_key,
        any_value(session_key) as session_key,
        any_value(message_id) as message_id,
        sender,
        happened_at,
        min(template_name) as template_name,
        cast(sum(copies) as bigint) as copies,
        max(last_load_id) as last_load_id
    from candidates
    group by message_key, sender, happened_at

)

select * from final

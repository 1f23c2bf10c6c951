{{ config(
    materialized='incremental',
    unique_key='message_key',
    incremental_strategy='delete+insert'
) }}

{% set columns = ['session_key', 'message_key', 'message_id', 'sender', 'happened_at', 'template_name'] %}

with session_messages as (

    select * from {{ ref('stg_botmaker__session_messages') }}

),

new_messages as (

    select * from session_messages where {{ loads_not_merged('load_id') }}

),

candidates as (

    {{ new_and_known_rows('new_messages', columns, 'message_key') }}

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

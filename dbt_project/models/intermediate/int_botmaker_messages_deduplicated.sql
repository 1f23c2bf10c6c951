{{ config(
    materialized='incremental',
    unique_key='message_key',
    incremental_strategy='delete+insert'
) }}

{% set columns = ['message_key', 'session_key', 'message_id', 'sender', 'template_name', 'happened_at'] %}

with session_messages as (

    select * from {{ ref('stg_botmaker__session_messages') }}

),

new_messages as (

    select * from session_messages {{ loads_not_merged('load_id') }}

),

{{ deduplicate(
    new_rows='new_messages',
    columns=columns,
    grain=['message_key'],
    order=['happened_at', 'sender', 'template_name is null', 'template_name']
) }}

select * from final

{{ config(
    materialized='incremental',
    unique_key='message_key',
    incremental_strategy='delete+insert'
) }}

{% set columns = [
    'message_key', 'message_id', 'conversation_key', 'channel_id', 'contact_id', 'customer_id',
    'template_name', 'template_language', 'notification_name', 'agent_groups', 'chat_link',
    'error_code', 'error_detail', 'line_md5', 'is_notification', 'has_error', 'sent_at', 'customer_created_at',
] %}

with sends as (

    select * from {{ ref('stg_send_log__sends') }}

),

lines_identified as (

    select * from {{ ref('int_lines_identified') }}

),

new_sends as (

    select
        sends.*,
        lines_identified.channel_id,
        {{ key_hash(['lines_identified.channel_id', 'sends.contact_id']) }} as conversation_key
    from sends
    inner join lines_identified
        on sends.given_channel_id = lines_identified.given_channel_id
        and coalesce(sends.given_line_number, '') = lines_identified.given_line_number
    {{ loads_not_merged('sends.load_id') }}

),

{{ deduplicate(
    new_rows='new_sends',
    columns=columns,
    grain=['message_key', 'conversation_key'],
    order=['sent_at', 'line_md5', 'conversation_key']
) }}

select * from final

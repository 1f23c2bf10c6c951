{{ config(
    materialized='incremental',
    unique_key='message_key',
    incremental_strategy='delete+insert'
) }}

{% set columns = [
    'message_key', 'context_key', 'message_id', 'conversation_key', 'channel_id', 'contact_id',
    'message_type', 'referral_source_type', 'line_md5', 'has_referral', 'happened_at',
] %}

with inbound_messages as (

    select * from {{ ref('stg_whatsapp__inbound_messages') }}

),

lines_identified as (

    select * from {{ ref('int_lines_identified') }}

),

new_messages as (

    select
        inbound_messages.*,
        lines_identified.channel_id,
        {{ key_hash(['lines_identified.channel_id', 'inbound_messages.contact_id']) }} as conversation_key
    from inbound_messages
    inner join lines_identified
        on coalesce(inbound_messages.given_channel_id, '') = lines_identified.given_channel_id
        and coalesce(inbound_messages.given_line_number, '') = lines_identified.given_line_number
    {{ loads_not_merged('inbound_messages.load_id') }}

),

{{ deduplicate(
    new_rows='new_messages',
    columns=columns,
    grain=['message_key', 'conversation_key', 'context_key'],
    order=['happened_at', 'line_md5', 'message_type', 'has_referral desc', 'referral_source_type', 'context_key', 'conversation_key']
) }}

select * from final

{{ config(
    materialized='incremental',
    unique_key='message_key',
    incremental_strategy='delete+insert'
) }}

{% set columns = [
    'message_key', 'quoted_message_key', 'message_id', 'quoted_message_id', 'given_channel_id', 'given_line_number',
    'given_contact_id', 'contact_identifier', 'message_type', 'referral_source_type', 'has_reaction_emoji', 'is_in_group',
    'has_referral', 'happened_at',
] %}

with inbound_messages as (

    select * from {{ ref('stg_whatsapp__inbound_messages') }}

),

new_messages as (

    select * from inbound_messages where {{ loads_not_merged('load_id') }}

),

{{ deduplicate(
    new_rows='new_messages',
    columns=columns,
    grain=['message_key', 'contact_identifier', 'quoted_message_key'],
    order=[
        'happened_at', 'message_type nulls last', 'given_channel_id nulls last', 'given_line_number nulls last', 'given_contact_id',
        'quoted_message_id nulls last', 'has_reaction_emoji desc', 'is_in_group desc', 'has_referral desc',
        'referral_source_type nulls last',
    ]
) }}

select * from final

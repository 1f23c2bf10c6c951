{{ config(
    materialized='incremental',
    unique_key='message_key',
    incremental_strategy='delete+insert'
) }}

{% set columns = [
    'message_key', 'message_id', 'given_channel_id', 'given_line_number', 'given_contact_id', 'contact_identifier', 'customer_id',
    'template_name', 'template_language', 'notification_name', 'agent_groups', 'chat_link',
    'error_code', 'error_title', 'error_details', 'is_notification', 'is_echo', 'has_error', 'sent_at', 'customer_created_at',
] %}

with sends as (

    select * from {{ ref('stg_send_log__sends') }}

),

echoes as (

    select * from {{ ref('stg_whatsapp__echoes') }}

),

new_sends as (

    select
        message_key, message_id, given_channel_id, given_line_number, given_contact_id, contact_identifier, customer_id,
        template_name, template_language, notification_name, agent_groups, chat_link,
        error_code, error_title, error_details, is_notification, false as is_echo, has_error, sent_at, customer_created_at, load_id
    from sends
    where {{ loads_not_merged('load_id') }}
    union all
    select
        message_key, message_id, given_channel_id, given_line_number, given_contact_id, contact_identifier, null as customer_id,
        null as template_name, null as template_language, null as notification_name, null as agent_groups, null as chat_link,
        null as error_code, null as error_title, null as error_details, false as is_notification, true as is_echo,
        false as has_error, happened_at as sent_at, null as customer_created_at, load_id
    from echoes
    where {{ loads_not_merged('load_id') }}

),

-- An echo of a send in the log is a copy of that send; the log has more columns.
{{ deduplicate(
    new_rows='new_sends',
    columns=columns,
    grain=['message_key', 'contact_identifier', 'is_echo'],
    order=[
        'is_echo', 'sent_at', 'given_channel_id nulls last', 'given_contact_id', 'template_name nulls last',
        'template_language nulls last', 'notification_name nulls last', 'given_line_number nulls last', 'customer_id nulls last',
        'customer_created_at nulls last', 'agent_groups nulls last', 'chat_link nulls last',
        'error_code nulls last', 'error_title nulls last', 'error_details nulls last', 'has_error',
    ]
) }}

select * from final

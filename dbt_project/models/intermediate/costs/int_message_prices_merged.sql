{{ config(
    materialized='incremental',
    unique_key='message_key',
    incremental_strategy='delete+insert'
) }}

{% set statuses_with_prices = ['sent', 'delivered', 'read'] %}

with statuses as (

    select * from {{ ref('stg_whatsapp__statuses') }}

),

sends as (

    select * from {{ ref('int_sends_deduplicated') }}

),

new_statuses as (

    select
        statuses.*,
        -- `played` counts as read.
        case when statuses.status = 'played' then 'read' else statuses.status end as status_counted,
        {{ price_of_status('statuses') }} as price
    from statuses
    {{ loads_not_merged('load_id') }}

),

sends_with_statuses as (

    select message_key from sends where message_key in (select new_statuses.message_key from new_statuses)

),

-- Most messages are sends of the log, which has their ids: to keep them here too would take as much room as all the rest.
messages_of_no_send as (

    select message_key, min(message_id) as message_id
    from new_statuses
    where not exists (select 1 from sends_with_statuses where sends_with_statuses.message_key = new_statuses.message_key)
    group by message_key

),

merged_statuses as (

    select
        message_key,
        min(given_channel_id) as given_channel_id,
        min(case when given_channel_id is null then given_line_number end) as given_line_number,
        min(recipient_identifier) as recipient_identifier,
        min(coalesce(user_id, parent_user_id)) as user_id,
        min(case when status_counted = 'delivered' then happened_at end) as delivered_at,
        min(case when status_counted = 'read' then happened_at end) as read_at,
        {%- for status in statuses_with_prices %}
        min(case when status_counted = '{{ status }}' then price end) as {{ status }}_price,
        {%- endfor %}
        max(load_id) as last_load_id
    from new_statuses
    group by message_key

),

{% if is_incremental() %}
known_and_new as (

    select
        merged_statuses.*,
        messages_of_no_send.message_id
    from merged_statuses
    left join messages_of_no_send
        on merged_statuses.message_key = messages_of_no_send.message_key
    union all
    select
        message_key, given_channel_id, given_line_number, recipient_identifier, user_id, delivered_at, read_at,
        {%- for status in statuses_with_prices %}
        {{ status }}_price,
        {%- endfor %}
        last_load_id, message_id
    from {{ this }}
    where {{ holds_for_few(this, 'message_key in (select merged_statuses.message_key from merged_statuses)') }}

),

final as (

    select
        message_key,
        min(message_id) as message_id,
        min(given_channel_id) as given_channel_id,
        min(given_line_number) as given_line_number,
        min(recipient_identifier) as recipient_identifier,
        min(user_id) as user_id,
        min(delivered_at) as delivered_at,
        min(read_at) as read_at,
        {%- for status in statuses_with_prices %}
        min({{ status }}_price) as {{ status }}_price,
        {%- endfor %}
        max(last_load_id) as last_load_id
    from known_and_new
    group by message_key

)
{% else %}
final as (

    select
        merged_statuses.message_key,
        messages_of_no_send.message_id,
        merged_statuses.given_channel_id,
        merged_statuses.given_line_number,
        merged_statuses.recipient_identifier,
        merged_statuses.user_id,
        merged_statuses.delivered_at,
        merged_statuses.read_at,
        {%- for status in statuses_with_prices %}
        merged_statuses.{{ status }}_price,
        {%- endfor %}
        merged_statuses.last_load_id
    from merged_statuses
    left join messages_of_no_send
        on merged_statuses.message_key = messages_of_no_send.message_key

)
{% endif %}

select * from final

{{ config(
    materialized='incremental',
    unique_key='message_key',
    incremental_strategy='delete+insert'
) }}

{% set identifiers = ['given_channel_id', 'given_line_number', 'recipient_identifier', 'user_id'] %}
{% set times = ['sent_status_at', 'delivered_at', 'read_status_at', 'played_status_at', 'failed_at'] %}
{% set prices = ['sent_price', 'delivered_price', 'read_price'] %}
{% set smallest = identifiers + times + prices %}

-- Statuses are read in place and not through an import CTE: if a query reads a CTE more than once, DuckDB keeps it in memory as a whole. At
-- 5M sends, with the default memory, a full build of this model then took 115 CPU seconds instead of 58.
with sends as (

    select * from {{ ref('int_sends_deduplicated') }}

),

new_statuses as (

    select
        *,
        {{ price_of_status('statuses') }} as price
    from {{ ref('stg_whatsapp__statuses') }} as statuses
    where {{ loads_not_merged('load_id') }}

),

-- Most messages are sends in the log, which has their ids; storing them here too would take as much space as all other columns.
messages_without_send as (

    select message_key, min(message_id) as message_id
    from {{ ref('stg_whatsapp__statuses') }} as statuses
    where
        {{ loads_not_merged('load_id') }}
        and not exists (select 1 from sends where sends.message_key = statuses.message_key)
    group by message_key

),

merged_statuses as (

    select
        message_key,
        min(given_channel_id) as given_channel_id,
        min(case when given_channel_id is null then given_line_number end) as given_line_number,
        min(recipient_identifier) as recipient_identifier,
        min(coalesce(user_id, parent_user_id)) as user_id,
        min(case when status = 'sent' then happened_at end) as sent_status_at,
        min(case when status = 'delivered' then happened_at end) as delivered_at,
        min(case when status = 'read' then happened_at end) as read_status_at,
        min(case when status = 'played' then happened_at end) as played_status_at,
        min(case when status = 'failed' then happened_at end) as failed_at,
        min(case when status = 'sent' then price end) as sent_price,
        min(case when status = 'delivered' then price end) as delivered_price,
        -- `played` counts as read.
        min(case when status in ('read', 'played') then price end) as read_price,
        count(case when is_about_delivery then 1 end) as copies,
        max(load_id) as last_load_id
    from new_statuses
    group by message_key

),

new_messages as (

    select
        merged_statuses.*,
        messages_without_send.message_id
    from merged_statuses
    left join messages_without_send
        on merged_statuses.message_key = messages_without_send.message_key

),

{% if is_incremental() %}
new_and_known_messages as (

    select message_key, message_id, {{ smallest | join(', ') }}, copies, last_load_id
    from new_messages
    union all
    select message_key, message_id, {{ smallest | join(', ') }}, copies, last_load_id
    from {{ this }}
    where {{ selective_filter(this, 'message_key in (select new_messages.message_key from new_messages)') }}

),
{% endif %}

messages as (

    {% if is_incremental() %}
    select
        message_key,
        min(message_id) as message_id,
        {%- for column in smallest %}
        min({{ column }}) as {{ column }},
        {%- endfor %}
        cast(sum(copies) as bigint) as copies,
        max(last_load_id) as last_load_id
    from new_and_known_messages
    group by message_key
    {% else %}
    select * from new_messages
    {% endif %}

),

failures as (

    select message_key, happened_at as failed_at, error_code, error_title, error_message, error_details
    from {{ ref('stg_whatsapp__statuses') }}
    where
        {{ loads_not_merged('load_id') }}
        and status = 'failed'
    {% if is_incremental() %}
    union all
    select message_key, failed_at, failure_code, failure_title, failure_message, failure_details
    from {{ this }}
    where {{ selective_filter(this, 'failed_at is not null and message_key in (select new_messages.message_key from new_messages)') }}
    {% endif %}

),

ranked_failures as (

    select
        *,
        row_number() over (
            partition by message_key
            order by failed_at, error_code nulls last, error_title nulls last, error_message nulls last, error_details nulls last
        ) as failure_rank
    from failures

),

final as (

    select
        messages.message_key,
        messages.message_id,
        {%- for column in smallest %}
        messages.{{ column }},
        {%- endfor %}
        first_failures.error_code as failure_code,
        first_failures.error_title as failure_title,
        first_failures.error_message as failure_message,
        first_failures.error_details as failure_details,
        messages.copies,
        messages.last_load_id
    from messages
    left join ranked_failures as first_failures
        on messages.message_key = first_failures.message_key
        and first_failures.failure_rank = 1

)

select * from final

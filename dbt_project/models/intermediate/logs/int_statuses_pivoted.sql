{{ config(
    materialized='incremental',
    unique_key='message_key',
    incremental_strategy='delete+insert'
) }}

with statuses as (

    select * from {{ ref('stg_whatsapp__statuses') }}

),

statuses_about_delivery as (

    select * from statuses where is_about_delivery

),

new_statuses as (

    select * from statuses_about_delivery {{ loads_not_merged('load_id') }}

),

pivoted_statuses as (

    select
        message_key,
        min(case when status = 'sent' then happened_at end) as sent_status_at,
        min(case when status = 'delivered' then happened_at end) as delivered_at,
        min(case when status = 'read' then happened_at end) as read_status_at,
        min(case when status = 'played' then happened_at end) as played_status_at,
        min(case when status = 'failed' then happened_at end) as failed_at,
        count(*) as copies,
        max(load_id) as last_load_id
    from new_statuses
    group by message_key
    {% if is_incremental() %}
    union all
    select
        message_key, sent_status_at, delivered_at, read_status_at, played_status_at, failed_at, copies, last_load_id
    from {{ this }}
    where {{ holds_for_few(this, 'message_key in (select new_statuses.message_key from new_statuses)') }}
    {% endif %}

),

merged_statuses as (

    {% if is_incremental() %}
    select
        message_key,
        min(sent_status_at) as sent_status_at,
        min(delivered_at) as delivered_at,
        min(read_status_at) as read_status_at,
        min(played_status_at) as played_status_at,
        min(failed_at) as failed_at,
        cast(sum(copies) as bigint) as copies,
        max(last_load_id) as last_load_id
    from pivoted_statuses
    group by message_key
    {% else %}
    select * from pivoted_statuses
    {% endif %}

),

failures as (

    select message_key, happened_at as failed_at, error_code, error_title, error_message, error_details
    from new_statuses
    where status = 'failed'
    {% if is_incremental() %}
    union all
    select message_key, failed_at, failure_code, failure_title, failure_message, failure_details
    from {{ this }}
    where {{ holds_for_few(this, 'failed_at is not null and message_key in (select new_statuses.message_key from new_statuses)') }}
    {% endif %}

),

ranked_failures as (

    select
        *,
        row_number() over (
            partition by message_key
            order by failed_at, error_code nulls last, error_title nulls last, error_message nulls last, error_details nulls last
        ) as place
    from failures

),

final as (

    select
        merged_statuses.message_key,
        merged_statuses.sent_status_at,
        merged_statuses.delivered_at,
        merged_statuses.read_status_at,
        merged_statuses.played_status_at,
        merged_statuses.failed_at,
        first_failures.error_code as failure_code,
        first_failures.error_title as failure_title,
        first_failures.error_message as failure_message,
        first_failures.error_details as failure_details,
        merged_statuses.copies,
        merged_statuses.last_load_id
    from merged_statuses
    left join ranked_failures as first_failures
        on merged_statuses.message_key = first_failures.message_key
        and first_failures.place = 1

)

select * from final

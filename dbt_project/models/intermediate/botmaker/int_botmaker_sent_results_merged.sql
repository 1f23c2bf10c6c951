{{ config(
    materialized='incremental',
    unique_key='session_key',
    incremental_strategy='delete+insert'
) }}

with sent_results as (

    select * from {{ ref('stg_botmaker__sent_results') }}

),

new_results as (

    select * from sent_results where {{ loads_not_merged('load_id') }}

),

candidates as (

    select
        session_key, notification_name, sent_at as named_result_sent_at,
        sent_at, delivered_at, read_at, answered_at, failed_at,
        1 as copies, load_id as last_load_id
    from new_results
    {% if is_incremental() %}
    union all
    select
        session_key, notification_name, named_result_sent_at,
        sent_at, delivered_at, read_at, answered_at, failed_at,
        copies, last_load_id
    from {{ this }}
    where session_key in (select new_results.session_key from new_results)
    {% endif %}

),

merged_results as (

    select
        session_key,
        min(sent_at) as sent_at,
        min(delivered_at) as delivered_at,
        min(read_at) as read_at,
        min(answered_at) as answered_at,
        min(failed_at) as failed_at,
        cast(sum(copies) as bigint) as copies,
        max(last_load_id) as last_load_id
    from candidates
    group by session_key

),

ranked_names as (

    select
        session_key,
        notification_name,
        named_result_sent_at,
        row_number() over (
            partition by session_key order by named_result_sent_at is null, named_result_sent_at, notification_name
        ) as name_rank
    from candidates
    where notification_name is not null

),

final as (

    select
        merged_results.session_key,
        first_names.notification_name,
        first_names.named_result_sent_at,
        merged_results.sent_at,
        merged_results.delivered_at,
        merged_results.read_at,
        merged_results.answered_at,
        merged_results.failed_at,
        merged_results.copies,
        merged_results.last_load_id
    from merged_results
    left join ranked_names as first_names
        on merged_results.session_key = first_names.session_key
        and first_names.name_rank = 1

)

select * from final

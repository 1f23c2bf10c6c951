{{ config(
    materialized='incremental',
    unique_key='message_key',
    incremental_strategy='delete+insert'
) }}

{% set columns = [
    'session_key', 'message_key', 'message_id', 'event_name', 'status', 'happened_at', 'template_name', 'failure_detail',
] %}

with session_events as (

    select * from {{ ref('stg_botmaker__session_events') }}

),

new_events as (

    select * from session_events where {{ loads_not_merged('load_id') }}

),

candidates as (

    {{ new_and_known_rows('new_events', columns, 'message_key') }}

),

final as (

    select
        message_key,
        any_value(session_key) as session_key,
        any_value(message_id) as message_id,
        event_name,
        any_value(status) as status,
        happened_at,
        min(template_name) as template_name,
        min(failure_detail) as failure_detail,
        cast(sum(copies) as bigint) as copies,
        max(last_load_id) as last_load_id
    from candidates
    group by message_key, event_name, happened_at

)

select * from final

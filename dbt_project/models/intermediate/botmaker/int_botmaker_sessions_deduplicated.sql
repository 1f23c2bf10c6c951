{{ config(
    materialized='incremental',
    unique_key='session_key',
    incremental_strategy='delete+insert'
) }}

{% set columns = [
    'session_key', 'session_id', 'given_channel_id', 'given_contact_id', 'contact_id', 'contact_identifier', 'user_id', 'parent_user_id',
    'customer_id', 'starting_cause', 'elements', 'is_tester', 'session_started_at', 'customer_created_at',
] %}

with sessions as (

    select * from {{ ref('stg_botmaker__sessions') }}

),

new_sessions as (

    select * from sessions where {{ loads_not_merged('load_id') }}

),

{{ deduplicate(
    new_rows='new_sessions',
    columns=columns,
    key='session_key',
    grain=['session_key', 'contact_identifier'],
    order=[
        'elements desc', 'session_id', 'session_started_at', 'starting_cause nulls last', 'customer_id', 'given_channel_id',
        'given_contact_id nulls last', 'user_id nulls last', 'parent_user_id nulls last', 'customer_created_at nulls last', 'is_tester',
    ]
) }}

select * from final

{{ config(
    materialized='incremental',
    unique_key='session_key',
    incremental_strategy='delete+insert'
) }}

{% set columns = [
    'session_key', 'session_id', 'conversation_key', 'channel_id', 'contact_id', 'customer_id',
    'starting_cause', 'line_md5', 'elements', 'is_tester', 'session_started_at', 'customer_created_at',
] %}

with sessions as (

    select * from {{ ref('stg_botmaker__sessions') }}

),

lines_identified as (

    select * from {{ ref('int_lines_identified') }}

),

new_sessions as (

    select
        sessions.*,
        lines_identified.channel_id,
        {{ key_hash(['lines_identified.channel_id', 'sessions.contact_id']) }} as conversation_key
    from sessions
    inner join lines_identified
        on sessions.given_channel_id = lines_identified.given_channel_id
        and lines_identified.given_line_number = ''
    {{ loads_not_merged('sessions.load_id') }}

),

{{ deduplicate(
    new_rows='new_sessions',
    columns=columns,
    key='session_key',
    grain=['session_key', 'conversation_key'],
    order=['elements desc', 'line_md5 desc', 'conversation_key']
) }}

select * from final

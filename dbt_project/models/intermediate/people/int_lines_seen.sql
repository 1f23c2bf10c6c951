{{ config(
    materialized='incremental',
    unique_key=['feed', 'given_channel_id', 'given_line_number'],
    incremental_strategy='delete+insert'
) }}

with sends as (

    select * from {{ ref('stg_send_log__sends') }}

),

statuses as (

    select * from {{ ref('stg_whatsapp__statuses') }}

),

inbound_messages as (

    select * from {{ ref('stg_whatsapp__inbound_messages') }}

),

echoes as (

    select * from {{ ref('stg_whatsapp__echoes') }}

),

botmaker_sessions as (

    select * from {{ ref('stg_botmaker__sessions') }}

),

botmaker_channels as (

    select * from {{ ref('stg_botmaker__channels') }}

),

new_sightings as (

    select 'sends' as feed, given_channel_id, given_line_number, sent_at as happened_at, load_id
    from sends {{ loads_not_merged('load_id') }}
    union all
    select 'webhooks' as feed, given_channel_id, given_line_number, happened_at, load_id
    from statuses {{ loads_not_merged('load_id') }}
    union all
    select 'webhooks' as feed, given_channel_id, given_line_number, happened_at, load_id
    from inbound_messages {{ loads_not_merged('load_id') }}
    union all
    select 'webhooks' as feed, given_channel_id, given_line_number, happened_at, load_id
    from echoes {{ loads_not_merged('load_id') }}
    union all
    select 'botmaker' as feed, given_channel_id, null as given_line_number, session_started_at as happened_at, load_id
    from botmaker_sessions {{ loads_not_merged('load_id') }}
    union all
    select 'botmaker' as feed, given_channel_id, given_line_number, cast(null as timestamp) as happened_at, load_id
    from botmaker_channels {{ loads_not_merged('load_id') }}

),

sightings as (

    select
        feed,
        coalesce(given_channel_id, '') as given_channel_id,
        coalesce(given_line_number, '') as given_line_number,
        max(happened_at) as newest_event_at,
        max(load_id) as last_load_id
    from new_sightings
    group by feed, coalesce(given_channel_id, ''), coalesce(given_line_number, '')
    {% if is_incremental() %}
    union all
    select feed, given_channel_id, given_line_number, newest_event_at, last_load_id from {{ this }}
    {% endif %}

),

final as (

    select
        feed,
        given_channel_id,
        given_line_number,
        max(newest_event_at) as newest_event_at,
        max(last_load_id) as last_load_id
    from sightings
    group by feed, given_channel_id, given_line_number

)

select * from final

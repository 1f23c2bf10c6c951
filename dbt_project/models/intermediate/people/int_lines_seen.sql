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

channels as (

    select * from {{ ref('stg_whatsapp__channels') }}

),

botmaker_sessions as (

    select * from {{ ref('stg_botmaker__sessions') }}

),

botmaker_channels as (

    select * from {{ ref('stg_botmaker__channels') }}

),

landed_files as (

    select * from {{ source('raw', 'landed_files') }}

),

loads as (

    select load_id, max(landed_at) as landed_at
    from landed_files
    group by load_id

),

new_sightings as (

    select 'sends' as feed, given_channel_id, given_line_number, sent_at as happened_at, false as is_web_chat, load_id
    from sends where {{ loads_not_merged('load_id') }}
    union all
    select 'webhooks' as feed, given_channel_id, given_line_number, happened_at, false as is_web_chat, load_id
    from statuses where {{ loads_not_merged('load_id') }}
    union all
    select 'webhooks' as feed, given_channel_id, given_line_number, happened_at, false as is_web_chat, load_id
    from inbound_messages where {{ loads_not_merged('load_id') }}
    union all
    select 'webhooks' as feed, given_channel_id, given_line_number, happened_at, false as is_web_chat, load_id
    from echoes where {{ loads_not_merged('load_id') }}
    union all
    select
        'webhooks' as feed, given_channel_id, given_line_number, cast(null as timestamp) as happened_at, false as is_web_chat, load_id
    from channels where {{ loads_not_merged('load_id') }}
    union all
    -- Botmaker writes the platform into its channel ids, such as `shop-webchat-1`.
    select
        'botmaker' as feed, given_channel_id, null as given_line_number, session_started_at as happened_at,
        given_channel_id like '%-webchat-%' as is_web_chat, load_id
    from botmaker_sessions where {{ loads_not_merged('load_id') }}
    union all
    select
        'botmaker' as feed, given_channel_id, given_line_number, cast(null as timestamp) as happened_at,
        is_web_chat or given_channel_id like '%-webchat-%' as is_web_chat, load_id
    from botmaker_channels where {{ loads_not_merged('load_id') }}

),

sightings_of_loads as (

    select
        feed,
        coalesce(given_channel_id, '') as given_channel_id,
        coalesce(given_line_number, '') as given_line_number,
        load_id,
        max(happened_at) as newest_event_at,
        max(case when is_web_chat then 1 else 0 end) = 1 as is_web_chat
    from new_sightings
    group by feed, coalesce(given_channel_id, ''), coalesce(given_line_number, ''), load_id

),

-- An event later than its landing comes from a clock that is ahead, and would hide silence until its time has come.
sightings as (

    select
        sightings_of_loads.feed,
        sightings_of_loads.given_channel_id,
        sightings_of_loads.given_line_number,
        case
            when sightings_of_loads.newest_event_at > loads.landed_at then loads.landed_at
            else sightings_of_loads.newest_event_at
        end as newest_event_at,
        sightings_of_loads.is_web_chat,
        sightings_of_loads.load_id as last_load_id
    from sightings_of_loads
    left join loads
        on sightings_of_loads.load_id = loads.load_id
    {% if is_incremental() %}
    union all
    select feed, given_channel_id, given_line_number, newest_event_at, is_web_chat, last_load_id from {{ this }}
    {% endif %}

),

final as (

    select
        feed,
        given_channel_id,
        given_line_number,
        max(newest_event_at) as newest_event_at,
        max(case when is_web_chat then 1 else 0 end) = 1 as is_web_chat,
        max(last_load_id) as last_load_id
    from sightings
    group by feed, given_channel_id, given_line_number

)

select * from final

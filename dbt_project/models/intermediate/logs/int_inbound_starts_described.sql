{{ config(materialized='view') }}

with sessions_started as (

    select * from {{ ref('int_sessions_started') }}

),

inbound_messages as (

    select * from {{ ref('int_inbound_messages_classified') }}

),

lines_named as (

    select * from {{ ref('int_lines_named') }}

),

threads_started as (

    select * from {{ ref('int_threads_started') }}

),

final as (

    select
        sessions_started.session_id,
        sessions_started.session_started_at,
        case
            when inbound_messages.has_referral and lines_named.platform = 'webchat' then 'referred_webchat'
            when inbound_messages.referral_source_type in ('ad', 'post') then 'referred_campaign'
            else 'organic'
        end as origin,
        inbound_messages.channel_id,
        lines_named.channel_name,
        lines_named.line_number,
        inbound_messages.person_id,
        {{ contact_id_shown('inbound_messages.given_contact_id') }} as contact_id,
        {{ user_type('threads_started.first_session_started_at', 'null', 'sessions_started.session_started_at') }} as user_type
    from sessions_started
    inner join inbound_messages
        on sessions_started.message_key = inbound_messages.message_key
    inner join lines_named
        on inbound_messages.channel_id = lines_named.channel_id
    inner join threads_started
        on sessions_started.thread_key = threads_started.thread_key
    where not sessions_started.is_started_by_send

)

select * from final

{{ config(materialized='view') }}

with sessions_started as (

    select * from {{ ref('int_sessions_started') }}

),

inbound_messages as (

    select * from {{ ref('int_inbound_messages_classified') }}

),

unavailable_starts as (

    select * from {{ ref('int_unavailable_starts_referred') }}

),

lines_named as (

    select * from {{ ref('int_lines_named') }}

),

threads_started as (

    select * from {{ ref('int_threads_started') }}

),

-- The first message shows what led the person here; if WhatsApp does not show it, the first message that it does show decides.
sessions_referred as (

    select
        sessions_started.session_id,
        sessions_started.session_started_at,
        sessions_started.thread_key,
        inbound_messages.has_referral or coalesce(unavailable_starts.has_referral, false) as has_referral,
        coalesce(inbound_messages.referral_source_type, unavailable_starts.referral_source_type) as referral_source_type,
        inbound_messages.channel_id,
        inbound_messages.person_id,
        inbound_messages.given_contact_id
    from sessions_started
    inner join inbound_messages
        on sessions_started.message_key = inbound_messages.message_key
    left join unavailable_starts
        on sessions_started.message_key = unavailable_starts.message_key
    where not sessions_started.is_started_by_send

),

final as (

    select
        sessions_referred.session_id,
        sessions_referred.session_started_at,
        case
            when sessions_referred.has_referral and lines_named.platform = 'webchat' then 'referred_webchat'
            when sessions_referred.referral_source_type in ('ad', 'post') then 'referred_campaign'
            else 'organic'
        end as origin,
        sessions_referred.channel_id,
        lines_named.channel_name,
        lines_named.line_number,
        sessions_referred.person_id,
        {{ display_identifier('sessions_referred.given_contact_id') }} as contact_id,
        {{ user_type('threads_started.first_session_started_at', 'null', 'sessions_referred.session_started_at') }} as user_type
    from sessions_referred
    inner join lines_named
        on sessions_referred.channel_id = lines_named.channel_id
    inner join threads_started
        on sessions_referred.thread_key = threads_started.thread_key

)

select * from final

{{ config(materialized='view') }}

with sessions_started as (

    select * from {{ ref('int_sessions_started') }}

),

inbound_messages as (

    select * from {{ ref('int_inbound_messages_deduplicated') }}

),

channels_named as (

    select * from {{ ref('int_channels_named') }}

),

starting_messages as (

    select
        sessions_started.session_id,
        sessions_started.session_started_at,
        sessions_started.is_first_session,
        inbound_messages.channel_id,
        inbound_messages.contact_id,
        inbound_messages.has_referral,
        inbound_messages.referral_source_type
    from sessions_started
    inner join inbound_messages
        on sessions_started.conversation_key = inbound_messages.conversation_key
        and sessions_started.session_started_at = inbound_messages.happened_at
        and sessions_started.session_id = inbound_messages.message_id
        and inbound_messages.is_kept
    where not sessions_started.is_started_by_send

),

final as (

    select
        starting_messages.session_id,
        starting_messages.session_started_at,
        case
            when starting_messages.has_referral and channels_named.platform = 'webchat' then 'referred_webchat'
            when starting_messages.referral_source_type in ('ad', 'post') then 'referred_campaign'
            else 'organic'
        end as origin,
        starting_messages.channel_id,
        channels_named.channel_name,
        channels_named.line_number,
        starting_messages.contact_id,
        case when starting_messages.is_first_session then 'new' else 'returning' end as user_type
    from starting_messages
    inner join channels_named
        on starting_messages.channel_id = channels_named.channel_id

)

select * from final

{{ config(materialized='view') }}

with sessions_started as (

    select * from {{ ref('int_botmaker_sessions_started') }}

),

notifications as (

    select * from {{ ref('int_botmaker_notifications_statused') }}

),

channels_named as (

    select * from {{ ref('int_channels_named') }}

),

-- The others have a row among the notifications: the one that started them.
sessions_without_notification as (

    select *
    from sessions_started
    where session_key not in (select notifications.session_key from notifications where notifications.is_session_start)

),

final as (

    select
        sessions_without_notification.session_id,
        sessions_without_notification.session_started_at,
        sessions_without_notification.origin,
        sessions_without_notification.channel_id,
        channels_named.channel_name,
        channels_named.line_number,
        sessions_without_notification.contact_id,
        sessions_without_notification.customer_id,
        {{ user_type(
            'sessions_without_notification.is_first_session',
            'sessions_without_notification.customer_created_at',
            'sessions_without_notification.session_started_at'
        ) }} as user_type,
        {{ botmaker_chat_link('sessions_without_notification.customer_id') }} as chat_link
    from sessions_without_notification
    inner join channels_named
        on sessions_without_notification.channel_id = channels_named.channel_id

)

select * from final

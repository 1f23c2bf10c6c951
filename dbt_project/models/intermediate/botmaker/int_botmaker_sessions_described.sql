{{ config(materialized='view') }}

with sessions_started as (

    select * from {{ ref('int_botmaker_sessions_started') }}

),

notifications as (

    select * from {{ ref('int_botmaker_notifications_with_status') }}

),

threads_started as (

    select * from {{ ref('int_threads_started') }}

),

lines_named as (

    select * from {{ ref('int_lines_named') }}

),

-- The other sessions have a row among the notifications: the notification that started them.
sessions_without_notification as (

    select *
    from sessions_started
    where
        not exists (
            select 1
            from notifications
            where notifications.session_key = sessions_started.session_key and notifications.is_session_start
        )

),

final as (

    select
        sessions_without_notification.session_id,
        sessions_without_notification.session_started_at,
        sessions_without_notification.origin,
        sessions_without_notification.channel_id,
        lines_named.channel_name,
        lines_named.line_number,
        sessions_without_notification.person_id,
        sessions_without_notification.contact_id,
        sessions_without_notification.customer_id,
        {{ user_type(
            'threads_started.first_session_started_at',
            'sessions_without_notification.customer_created_at',
            'sessions_without_notification.session_started_at'
        ) }} as user_type,
        {{ botmaker_chat_link('sessions_without_notification.customer_id') }} as chat_link
    from sessions_without_notification
    inner join lines_named
        on sessions_without_notification.channel_id = lines_named.channel_id
    inner join threads_started
        on sessions_without_notification.thread_key = threads_started.thread_key

)

select * from final

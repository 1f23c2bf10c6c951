-- depends_on: {{ ref('int_people_to_recompute') }}
{{ config(
    unique_key=['source', 'session_start_id', 'message_id'],
    incremental_strategy='replace_changes_of_people',
    partition_by=partition_column('session_start_date'),
    post_hook="{{ log_all_days_changed() }}"
) }}

with sends as (

    select * from {{ ref('int_sends_described') }}

),

botmaker_notifications as (

    select * from {{ ref('int_botmaker_notifications_described') }}

),

notifications_of_logs as (

    select
        *,
        {{ report_date('session_started_at') }} as session_start_date,
        is_session_start as is_in_report,
        'logs' as source
    from sends
    where is_notification and may_change

),

notifications_of_botmaker as (

    select
        *,
        {{ report_date('session_started_at') }} as session_start_date,
        is_session_start as is_in_report,
        'botmaker' as source
    from botmaker_notifications

),

final as (

    select
        {{ session_start_columns() | join(',\n        ') }},
        is_session_start
    from notifications_of_logs
    union all
    select
        {{ session_start_columns() | join(',\n        ') }},
        is_session_start
    from notifications_of_botmaker

)

select * from final
{{ in_day_order('session_start_date') }}

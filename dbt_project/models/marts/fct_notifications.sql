-- depends_on: {{ ref('int_conversations_touched') }}
{{ config(
    unique_key='message_id',
    incremental_strategy='replace_conversations',
    post_hook="{{ note_new_days() }}"
) }}

with sends as (

    select * from {{ ref('int_sends_described') }}

),

notifications as (

    select
        *,
        {{ report_date('session_started_at') }} as session_start_date,
        is_session_start as is_in_report,
        'logs' as source
    from sends
    where is_notification

),

final as (

    select
        {{ session_start_columns() | join(',\n        ') }},
        is_session_start
    from notifications

)

select * from final

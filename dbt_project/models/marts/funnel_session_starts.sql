{{ config(
    unique_key='session_start_date',
    incremental_strategy='replace_days',
    partition_by=partition_column('session_start_date'),
    post_hook="{{ move_watermark() }}"
) }}

with session_starts as (

    select * from {{ ref('fct_session_starts') }}

),

funnel_stages as (

    select * from {{ ref('funnel_stages') }}

),

counted_notifications as (

    select
        {{ report_keys() | join(', ') }},
        count(*) as sent,
        count(case when is_delivered then 1 end) as delivered,
        count(case when is_read then 1 end) as read,
        count(case when is_replied then 1 end) as replied
    from session_starts
    where is_in_report and is_sent {{ and_day_changed() }}
    group by {{ report_keys() | join(', ') }}

),

final as (

    select
        {{ report_keys('counted_notifications.') | join(',\n        ') }},
        funnel_stages.stage_order,
        funnel_stages.stage,
        cast(case funnel_stages.stage
            when 'sent' then counted_notifications.sent
            when 'delivered' then counted_notifications.delivered
            when 'read' then counted_notifications.read
            when 'replied' then counted_notifications.replied
        end as bigint) as notifications
    from counted_notifications
    cross join funnel_stages

)

select * from final

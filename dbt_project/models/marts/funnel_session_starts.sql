{{ config(
    unique_key='session_start_date',
    incremental_strategy='replace_days',
    partition_by=files_by('session_start_date'),
    post_hook="{{ move_watermark() }}"
) }}

with session_starts as (

    select * from {{ ref('fct_session_starts') }}

),

funnel_stages as (

    select * from {{ ref('funnel_stages') }}

),

notifications_counted as (

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
        {{ report_keys('notifications_counted.') | join(',\n        ') }},
        funnel_stages.stage_order,
        funnel_stages.stage,
        cast(case funnel_stages.stage
            when 'sent' then notifications_counted.sent
            when 'delivered' then notifications_counted.delivered
            when 'read' then notifications_counted.read
            when 'replied' then notifications_counted.replied
        end as bigint) as notifications
    from notifications_counted
    cross join funnel_stages

)

select * from final

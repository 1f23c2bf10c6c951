{{ config(
    unique_key='session_start_date',
    incremental_strategy='replace_days',
    partition_by=partition_column('session_start_date'),
    post_hook="{{ move_watermark() }}"
) }}

with session_starts as (

    select * from {{ ref('fct_session_starts') }}

),

final as (

    select
        {{ report_keys() | join(',\n        ') }},
        count(session_id) as session_starts,
        count(message_id) as notifications,
        count(case when is_replied then 1 end) as replied,
        count(case when not is_replied and not is_not_sent then 1 end) as not_replied
    from session_starts
    where is_in_report {{ and_day_changed() }}
    group by {{ report_keys() | join(', ') }}

)

select * from final

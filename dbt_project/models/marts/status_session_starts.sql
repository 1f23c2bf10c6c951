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
        last_status,
        count(*) as notifications
    from session_starts
    where is_in_report and message_id is not null {{ and_day_changed() }}
    group by {{ report_keys() | join(', ') }}, last_status

)

select * from final

{{ config(
    unique_key='session_start_date',
    incremental_strategy='replace_days',
    partition_by=partition_column('session_start_date'),
    post_hook="{{ move_watermark() }}"
) }}

{% set other_keys = report_keys() | reject('equalto', 'session_start_date') | join(',\n        ') %}

with session_starts as (

    select * from {{ ref('fct_session_starts') }}

),

sends as (

    select
        *,
        {{ report_time('sent_at') }} as sent_at_in_report_zone
    from session_starts
    where is_in_report and message_id is not null {{ and_day_changed() }}

),

final as (

    select
        session_start_date,
        cast({{ iso_weekday('sent_at_in_report_zone') }} as integer) as weekday,
        cast(extract(hour from sent_at_in_report_zone) as integer) as hour,
        {{ other_keys }},
        count(*) as notifications,
        count(case when is_not_sent then 1 end) as not_sent,
        count(case when is_sent then 1 end) as sent,
        count(case when is_delivered then 1 end) as delivered,
        count(case when is_read then 1 end) as read,
        count(case when is_replied then 1 end) as replied,
        count(case when first_reply_at <= sent_at + interval '1' hour then 1 end) as replied_within_1h,
        count(case when first_reply_at <= sent_at + interval '24' hour then 1 end) as replied_within_24h,
        count(case when first_reply_at <= sent_at + interval '72' hour then 1 end) as replied_within_72h,
        count(case when first_reply_at <= sent_at + interval '7' day then 1 end) as replied_within_7d
    from sends
    group by
        session_start_date,
        {{ iso_weekday('sent_at_in_report_zone') }},
        extract(hour from sent_at_in_report_zone),
        {{ other_keys }}

)

select * from final

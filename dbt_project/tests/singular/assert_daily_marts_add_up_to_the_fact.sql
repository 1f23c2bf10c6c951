-- Each daily mart must add up to `fct_session_starts`: status buckets and hours to the sends, the funnel's first and last stage to the
-- sends that went out and that were replied to, the totals to their rows. A row is a day on which a daily mart differs from
-- `fct_session_starts`.
{{ config(meta={'dagster': {'ref': {'name': 'session_starts_daily'}}}) }}
{% set is_checked_day = is_on_changed_day('session_start_date') if checks_only_changes() else 'true' %}

with fact as (

    select
        session_start_date,
        count(session_id) as session_starts,
        count(message_id) as notifications,
        count(case when is_not_sent then 1 end) as not_sent,
        count(case when is_sent then 1 end) as sent,
        count(case when is_replied then 1 end) as replied,
        count(case when first_reply_at <= sent_at + interval '72' hour then 1 end) as replied_within_72h
    from {{ ref('fct_session_starts') }}
    where is_in_report and {{ is_checked_day }}
    group by session_start_date

),

daily as (

    select session_start_date, sum(session_starts) as session_starts, sum(notifications) as notifications, sum(replied) as replied
    from {{ ref('session_starts_daily') }}
    where {{ is_checked_day }}
    group by session_start_date

),

by_status as (

    select session_start_date, sum(notifications) as notifications
    from {{ ref('status_session_starts') }}
    where {{ is_checked_day }}
    group by session_start_date

),

funnel as (

    select
        session_start_date,
        sum(case when stage = 'sent' then notifications end) as sent,
        sum(case when stage = 'replied' then notifications end) as replied
    from {{ ref('funnel_session_starts') }}
    where {{ is_checked_day }}
    group by session_start_date

),

by_hour as (

    select
        session_start_date,
        sum(notifications) as notifications,
        sum(not_sent) as not_sent,
        sum(sent) as sent,
        sum(replied) as replied,
        sum(replied_within_72h) as replied_within_72h
    from {{ ref('sends_by_hour') }}
    where {{ is_checked_day }}
    group by session_start_date

)

select
    coalesce(
        fact.session_start_date, daily.session_start_date, by_status.session_start_date, funnel.session_start_date,
        by_hour.session_start_date
    ) as session_start_date,
    fact.notifications,
    daily.notifications as daily_notifications,
    by_status.notifications as status_notifications,
    by_hour.notifications as hour_notifications,
    fact.sent,
    funnel.sent as funnel_sent
from fact
full outer join daily on fact.session_start_date = daily.session_start_date
full outer join by_status on fact.session_start_date = by_status.session_start_date
full outer join funnel on fact.session_start_date = funnel.session_start_date
full outer join by_hour on fact.session_start_date = by_hour.session_start_date
where
    daily.session_starts is distinct from fact.session_starts
    or daily.notifications is distinct from fact.notifications
    or daily.replied is distinct from fact.replied
    or coalesce(by_status.notifications, 0) <> coalesce(fact.notifications, 0)
    or coalesce(funnel.sent, 0) <> coalesce(fact.sent, 0)
    or coalesce(funnel.replied, 0) <> coalesce(fact.replied, 0)
    or coalesce(by_hour.notifications, 0) <> coalesce(fact.notifications, 0)
    or coalesce(by_hour.not_sent, 0) <> coalesce(fact.not_sent, 0)
    or coalesce(by_hour.sent, 0) <> coalesce(fact.sent, 0)
    or coalesce(by_hour.replied, 0) <> coalesce(fact.replied, 0)
    or coalesce(by_hour.replied_within_72h, 0) <> coalesce(fact.replied_within_72h, 0)

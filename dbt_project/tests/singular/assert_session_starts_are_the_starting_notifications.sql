-- The two facts tell one story: a notification that started a session, or tried to, stands in both, with
-- the same day and status. A row is a day on which they count differently.
{{ config(meta={'dagster': {'ref': {'name': 'fct_session_starts'}}}) }}

with session_starts as (

    select session_start_date, origin, user_type, last_status, count(*) as sends
    from {{ ref('fct_session_starts') }}
    where is_in_report and message_id is not null
    group by session_start_date, origin, user_type, last_status

),

starting_notifications as (

    select session_start_date, origin, user_type, last_status, count(*) as sends
    from {{ ref('fct_notifications') }}
    where is_session_start
    group by session_start_date, origin, user_type, last_status

)

(select * from session_starts except select * from starting_notifications)
union all
(select * from starting_notifications except select * from session_starts)

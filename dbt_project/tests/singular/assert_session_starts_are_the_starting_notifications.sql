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

select
    coalesce(session_starts.session_start_date, starting_notifications.session_start_date) as session_start_date,
    session_starts.sends,
    starting_notifications.sends as sends_of_notifications
from session_starts
full outer join starting_notifications
    on session_starts.session_start_date = starting_notifications.session_start_date
    and session_starts.origin = starting_notifications.origin
    and session_starts.user_type = starting_notifications.user_type
    and session_starts.last_status = starting_notifications.last_status
where session_starts.sends is distinct from starting_notifications.sends

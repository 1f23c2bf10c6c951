-- The two facts tell one story: a notification that started a session, or tried to, stands in both, with
-- the same session. A row names a message that only one of them has.
{{ config(meta={'dagster': {'ref': {'name': 'fct_session_starts'}}}) }}

with session_starts as (

    select message_id, session_start_id from {{ ref('fct_session_starts') }} where is_in_report and message_id is not null

),

starting_notifications as (

    select message_id, session_start_id from {{ ref('fct_notifications') }} where is_session_start

)

select message_id, session_start_id from session_starts
except
select message_id, session_start_id from starting_notifications
union all
select message_id, session_start_id from starting_notifications
except
select message_id, session_start_id from session_starts

-- A stage counts the sends that reached it or a later one, so no stage may count more than the one before. A row is a cell in which one
-- does, or in which a stage is missing.
with cells as (

    select
        {{ report_keys() | join(', ') }},
        count(*) as stages,
        sum(case when stage = 'sent' then notifications end) as sent,
        sum(case when stage = 'delivered' then notifications end) as delivered,
        sum(case when stage = 'read' then notifications end) as read,
        sum(case when stage = 'replied' then notifications end) as replied
    from {{ ref('funnel_session_starts') }}
    group by {{ report_keys() | join(', ') }}

)

select *
from cells
where stages <> 4 or delivered > sent or read > delivered or replied > read

select
    template_name,
    max(session_start_date) as last_start_date,
    count(*) as session_starts
from {{ ref('conversation_starts', 'fct_session_starts') }}
where is_in_report
group by template_name

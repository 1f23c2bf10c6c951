{# Exactly one of the copies of an id in a deduplicated model counts; without one, the message would be lost silently. #}
{% test one_row_kept(model, column_name) %}

select {{ column_name }}, sum(case when is_kept then 1 else 0 end) as rows_kept
from {{ model }}
group by {{ column_name }}
having sum(case when is_kept then 1 else 0 end) <> 1

{% endtest %}

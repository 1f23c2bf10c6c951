{# Of the copies that a deduplicated model holds of an id, exactly one counts: none would lose the message without a word. #}
{% test one_row_kept(model, column_name) %}

select {{ column_name }}, sum(case when is_kept then 1 else 0 end) as rows_kept
from {{ model }}
group by {{ column_name }}
having sum(case when is_kept then 1 else 0 end) <> 1

{% endtest %}

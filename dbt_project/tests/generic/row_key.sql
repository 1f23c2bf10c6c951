{# A column that identifies a row: never null, and unique. #}
{% test row_key(model, column_name) %}

select {{ column_name }}, count(*) as rows_found
from {{ model }}
group by {{ column_name }}
having count(*) > 1 or {{ column_name }} is null

{% endtest %}

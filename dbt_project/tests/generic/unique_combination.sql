{# Columns that together identify a row; null counts as a value. #}
{% test unique_combination(model, columns) %}

select {{ columns | join(', ') }}, count(*) as rows_found
from {{ model }}
group by {{ columns | join(', ') }}
having count(*) > 1

{% endtest %}

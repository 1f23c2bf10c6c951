{# Columns that always say something, looked at in one scan. #}
{% test no_nulls(model, columns) %}

select *
from {{ model }}
where {{ columns | join(' is null or ') }} is null

{% endtest %}

{# Columns that contain one of a few values, or null. All columns are tested in one scan, because each test costs a run 30 ms. #}
{% test known_values(model, columns) %}

select {{ columns | join(', ') }}, count(*) as rows_found
from {{ model }}
where
    {%- for column, values in columns.items() %}
    {{ 'or ' if not loop.first }}{{ column }} not in ('{{ values | join("', '") }}')
    {%- endfor %}
group by {{ columns | join(', ') }}

{% endtest %}

{# Columns that are never null, tested in one scan. `enforced_by` names an adapter that enforces the contract's constraints on them and
   needs no test. #}
{% test no_nulls(model, columns, enforced_by=none) %}

{{ config(enabled=target.type != enforced_by) }}

select *
from {{ model }}
where {{ columns | join(' is null or ') }} is null

{% endtest %}

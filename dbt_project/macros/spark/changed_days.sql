{# The log of macros/changed_days.sql on Spark. Rows are added and none is changed, because models that are written at the same time add to
   it: who reads it asks for the largest number. Each statement is a transaction of its own, so the days of an increment are logged before its
   rows change: a run that is killed in between logs days too many and never too few. #}

{% macro spark__log_changed_days(fact, days) -%}
    insert into {{ source('state', 'changed_days').render() }} (fact, session_start_date, change_number)
    select distinct '{{ fact.identifier }}', session_start_date, {{ newest_change_number() }} + 1
    from ({{ days }}) as days
{%- endmacro %}

{% macro spark__move_watermark(consumer) -%}
    insert into {{ source('state', 'watermarks').render() }} (consumer, change_number)
    select '{{ consumer }}', {{ newest_change_number() }}
{%- endmacro %}

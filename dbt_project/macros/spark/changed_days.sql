{# The log of macros/changed_days.sql on Spark. Rows are only added, never changed, because models that run at the same time write to it; a
   reader takes the largest number. Each statement is its own transaction, so the days of an increment are logged before its rows change: a
   run that is killed in between logs too many days, never too few. #}

{% macro spark__log_changed_days(fact, days) -%}
    insert into {{ source('state', 'changed_days').render() }} (fact, session_start_date, change_number)
    select distinct '{{ fact.identifier }}', session_start_date, {{ newest_change_number() }} + 1
    from ({{ days }}) as days
{%- endmacro %}

{% macro spark__move_watermark(consumer) -%}
    insert into {{ source('state', 'watermarks').render() }} (consumer, change_number)
    select '{{ consumer }}', {{ newest_change_number() }}
{%- endmacro %}

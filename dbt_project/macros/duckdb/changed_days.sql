{# The log of macros/changed_days.sql on DuckDB, in the transaction that writes the model. #}

{% macro duckdb__log_changed_days(fact, days) -%}
    create or replace temp table days_to_log as
    select distinct session_start_date, {{ newest_change_number() }} + 1 as change_number from ({{ days }}) as days;
    delete from {{ source('state', 'changed_days').render() }}
    where fact = '{{ fact.identifier }}' and session_start_date in (select session_start_date from days_to_log);
    insert into {{ source('state', 'changed_days').render() }} (fact, session_start_date, change_number)
    select '{{ fact.identifier }}', session_start_date, change_number from days_to_log;
    drop table days_to_log;
{%- endmacro %}

{% macro duckdb__move_watermark(consumer) -%}
    delete from {{ source('state', 'watermarks').render() }} where consumer = '{{ consumer }}';
    insert into {{ source('state', 'watermarks').render() }} (consumer, change_number)
    select '{{ consumer }}', {{ newest_change_number() }};
{%- endmacro %}

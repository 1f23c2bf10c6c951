{# The log of macros/changed_days.sql on Spark, where each statement is a transaction of its own: the days of an increment are logged
   before its rows change, so that a run that is killed in between logs days too many and never too few. #}

{% macro spark__log_changed_days(fact, days) -%}
    merge into {{ source('state', 'changed_days').render() }} as logged
    using (
        select distinct '{{ fact.identifier }}' as fact, session_start_date, {{ newest_change_number() }} + 1 as change_number
        from ({{ days }}) as days
    ) as days_to_log
        on logged.fact = days_to_log.fact
        and logged.session_start_date = days_to_log.session_start_date
    when matched then update set change_number = days_to_log.change_number
    when not matched then insert (fact, session_start_date, change_number)
        values (days_to_log.fact, days_to_log.session_start_date, days_to_log.change_number)
{%- endmacro %}

{% macro spark__move_watermark() -%}
    merge into {{ source('state', 'watermarks').render() }} as watermarks
    using (select '{{ this.identifier }}' as consumer, {{ newest_change_number() }} as change_number) as followed
        on watermarks.consumer = followed.consumer
    when matched then update set change_number = followed.change_number
    when not matched then insert (consumer, change_number) values (followed.consumer, followed.change_number)
{%- endmacro %}

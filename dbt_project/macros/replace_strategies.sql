{# Incremental strategies of the marts. They replace whole entities, so that nothing of an old result stays behind.

   `replace_people`: the rows of the people to recompute are replaced by their new ones. Rows that came out as before stay
   untouched: a late read receipt re-enters all threads of a person but changes one day. `unique_key` names a row; `person_id` of a
   row is always an identifier of its person, so that the list of identifiers to recompute finds the old rows, too.
   The days of rows that went or came are logged (changed_days.sql). #}

{% macro get_incremental_replace_people_sql(arg_dict) -%}
    {{ return(adapter.dispatch('replace_people_sql', 'conversation_starts')(arg_dict)) }}
{%- endmacro %}

{% macro duckdb__replace_people_sql(arg_dict) -%}
    {%- set is_of_people -%}
        person_id in (select people_to_recompute.identifier from {{ ref('int_people_to_recompute') }} as people_to_recompute)
    {%- endset -%}
    {#- The range of days lets the scan skip the row groups of all others. -#}
    {%- set is_in_range -%}
        session_start_date >= (select min(rows_to_delete.day) from rows_to_delete) and session_start_date <= (select max(rows_to_delete.day) from rows_to_delete)
    {%- endset -%}
    {{ replace_changed_rows(arg_dict, arg_dict['unique_key'], 'session_start_date', is_of_people, is_in_range) }}
{%- endmacro %}

{# `replace_messages`: the rows that were recomputed replace those of the same messages, unless they came out as before. #}

{% macro get_incremental_replace_messages_sql(arg_dict) -%}
    {{ return(adapter.dispatch('replace_messages_sql', 'conversation_starts')(arg_dict)) }}
{%- endmacro %}

{% macro duckdb__replace_messages_sql(arg_dict) -%}
    {%- set key = arg_dict['unique_key'] -%}
    {%- set is_of_messages = key ~ ' in (select recomputed.' ~ key ~ ' from ' ~ arg_dict['temp_relation'] ~ ' as recomputed)' -%}
    {{ replace_changed_rows(arg_dict, [key], billed_day(), is_of_messages, 'true') }}
{%- endmacro %}

{# The day under which a billed message is logged and published: one without a day of the bill has the first day there is, which
   no time of a record falls on (`UNDATED` in `orchestration/transform/builds.py`). #}
{% macro billed_day() -%}
    coalesce(billed_date, date '0001-01-01')
{%- endmacro %}

{# `is_replaced` says of a row of the target whether its new form, if it still has one, is among the recomputed rows. #}
{% macro replace_changed_rows(arg_dict, keys, day, is_replaced, is_in_range) -%}
    {%- set target = arg_dict['target_relation'] -%}
    {%- set recomputed = arg_dict['temp_relation'] -%}
    {%- set columns = arg_dict['dest_columns'] | map(attribute='quoted') | join(', ') -%}
    create or replace temp table rows_before as
    select {{ keys | join(', ') }}, {{ day }} as day, {{ row_fingerprint(columns) }} as fingerprint
    from {{ target }}
    where {{ is_replaced }};

    create or replace temp table rows_after as
    select {{ keys | join(', ') }}, {{ day }} as day, {{ row_fingerprint(columns) }} as fingerprint
    from {{ recomputed }};

    create or replace temp table rows_to_delete as
    select {{ keys | join(', ') }}, day
    from rows_before anti join rows_after using ({{ keys | join(', ') }}, fingerprint);

    create or replace temp table rows_to_insert as
    select {{ keys | join(', ') }}, day
    from rows_after anti join rows_before using ({{ keys | join(', ') }}, fingerprint);

    {{ log_changed_days(target, 'select day as session_start_date from rows_to_delete union select day as session_start_date from rows_to_insert') }}

    delete from {{ target }} using rows_to_delete
    where
        {% for key in keys %}rows_to_delete.{{ key }} = {{ target.identifier }}.{{ key }} and {% endfor %}
        rows_to_delete.day = {{ day }}
        and {{ is_in_range }};

    insert into {{ target }} ({{ columns }})
    select {{ columns }}
    from {{ recomputed }}
    where ({{ keys | join(', ') }}) in (select ({{ keys | join(', ') }}) from rows_to_insert);

    drop table rows_before;
    drop table rows_after;
    drop table rows_to_delete;
    drop table rows_to_insert;
{%- endmacro %}

{# `replace_days`: the days that changed since the model last followed the log are replaced. #}
{% macro get_incremental_replace_days_sql(arg_dict) -%}
    {%- set target = arg_dict['target_relation'] -%}
    {%- set columns = arg_dict['dest_columns'] | map(attribute='quoted') | join(', ') -%}
    delete from {{ target }} where session_start_date in ({{ days_to_replace(target) }});
    insert into {{ target }} ({{ columns }}) select {{ columns }} from {{ arg_dict['temp_relation'] }};
{%- endmacro %}

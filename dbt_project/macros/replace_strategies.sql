{# Incremental strategies of the marts. Both replace whole entities, so that nothing of an old result stays behind.

   `replace_people`: the rows of the people to recompute are replaced by their new ones. Rows that came out as before stay
   untouched: a late read receipt re-enters all threads of a person but changes one day. `unique_key` names a row; `person_id` of a
   row is always an identifier of its person, so that the list of identifiers to recompute finds the old rows, too.
   The days of rows that went or came are logged (changed_days.sql). #}

{% macro get_incremental_replace_people_sql(arg_dict) -%}
    {{ return(adapter.dispatch('replace_people_sql', 'conversation_starts')(arg_dict)) }}
{%- endmacro %}

{% macro duckdb__replace_people_sql(arg_dict) -%}
    {%- set target = arg_dict['target_relation'] -%}
    {%- set recomputed = arg_dict['temp_relation'] -%}
    {%- set keys = arg_dict['unique_key'] -%}
    {%- set columns = arg_dict['dest_columns'] | map(attribute='quoted') | join(', ') -%}
    {%- set same_row -%}
        {%- for key in keys %}rows_gone.{{ key }} = {{ target.identifier }}.{{ key }} and {% endfor -%}
        rows_gone.session_start_date = {{ target.identifier }}.session_start_date
    {%- endset -%}
    create or replace temp table rows_before as
    select {{ keys | join(', ') }}, session_start_date, {{ row_fingerprint(columns) }} as fingerprint
    from {{ target }}
    where person_id in (select people_to_recompute.identifier from {{ ref('int_people_to_recompute') }} as people_to_recompute);

    create or replace temp table rows_after as
    select {{ keys | join(', ') }}, session_start_date, {{ row_fingerprint(columns) }} as fingerprint
    from {{ recomputed }};

    create or replace temp table rows_gone as
    select {{ keys | join(', ') }}, session_start_date
    from rows_before anti join rows_after using ({{ keys | join(', ') }}, fingerprint);

    create or replace temp table rows_to_insert as
    select {{ keys | join(', ') }}, session_start_date
    from rows_after anti join rows_before using ({{ keys | join(', ') }}, fingerprint);

    {{ log_changed_days(target, 'select session_start_date from rows_gone union select session_start_date from rows_to_insert') }}

    -- The range of days lets the scan skip the row groups of all others.
    delete from {{ target }} using rows_gone
    where
        {{ same_row }}
        and {{ target.identifier }}.session_start_date >= (select min(rows_gone.session_start_date) from rows_gone)
        and {{ target.identifier }}.session_start_date <= (select max(rows_gone.session_start_date) from rows_gone);

    insert into {{ target }} ({{ columns }})
    select {{ columns }}
    from {{ recomputed }}
    where ({{ keys | join(', ') }}) in (select ({{ keys | join(', ') }}) from rows_to_insert);

    drop table rows_before;
    drop table rows_after;
    drop table rows_gone;
    drop table rows_to_insert;
{%- endmacro %}

{# `replace_days`: the days that changed since the model last followed the log are replaced. #}
{% macro get_incremental_replace_days_sql(arg_dict) -%}
    {%- set target = arg_dict['target_relation'] -%}
    {%- set columns = arg_dict['dest_columns'] | map(attribute='quoted') | join(', ') -%}
    delete from {{ target }} where session_start_date in ({{ days_to_replace(target) }});
    insert into {{ target }} ({{ columns }}) select {{ columns }} from {{ arg_dict['temp_relation'] }};
{%- endmacro %}

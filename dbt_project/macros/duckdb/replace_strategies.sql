{# The strategies of macros/replace_strategies.sql on DuckDB, which runs all statements of a model in one transaction. #}

{% macro duckdb__replace_people_sql(arg_dict) -%}
    {#- The range of days lets the scan skip the row groups of all others. -#}
    {%- set is_in_range -%}
        session_start_date >= (select min(rows_to_delete.day) from rows_to_delete) and session_start_date <= (select max(rows_to_delete.day) from rows_to_delete)
    {%- endset -%}
    {{ replace_changed_rows(arg_dict, arg_dict['unique_key'], 'session_start_date', is_of_people_to_recompute(), is_in_range) }}
{%- endmacro %}

{% macro duckdb__replace_messages_sql(arg_dict) -%}
    {{ replace_changed_rows(arg_dict, [arg_dict['unique_key']], billed_day(), is_of_recomputed_messages(arg_dict), 'true') }}
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

{# A row's content as two 64-bit hashes: 3 times faster than comparing 34 columns with `except`. #}
{% macro row_fingerprint(columns) -%}
    struct_pack(first := hash({{ columns }}), second := hash('second', {{ columns }}))
{%- endmacro %}

{% macro duckdb__replace_days_sql(arg_dict) -%}
    {%- set target = arg_dict['target_relation'] -%}
    {%- set columns = arg_dict['dest_columns'] | map(attribute='quoted') | join(', ') -%}
    delete from {{ target }} where session_start_date in ({{ days_to_replace(target) }});
    insert into {{ target }} ({{ columns }}) select {{ columns }} from {{ arg_dict['temp_relation'] }};
{%- endmacro %}

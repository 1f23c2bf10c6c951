{# The strategies of macros/replace_strategies.sql on DuckDB, which runs all statements of a model in one transaction. #}

{% macro duckdb__replace_people_sql(arg_dict) -%}
    {{ replace_changed_rows(arg_dict, 'session_start_date', has_person_to_recompute()) }}
{%- endmacro %}

{# The earliest time that matters, as a literal, lets DuckDB skip the rows of most days. #}
{% macro duckdb__replace_changes_of_people_sql(arg_dict) -%}
    {%- set people = ref('int_people_to_recompute') -%}
    {%- set earliest = run_query('select ' ~ earliest_affected('affected_from') ~ ' from ' ~ people).columns[0].values()[0] -%}
    {%- set is_replaced -%}
        rowid in (
            select fact.rowid
            from {{ arg_dict['target_relation'] }} as fact
            inner join {{ people }} as people_to_recompute
                on fact.person_id = people_to_recompute.identifier
                and {{ is_affected('fact.sent_at', 'people_to_recompute.affected_from') }}
            where {{ is_affected('fact.sent_at', "timestamp '" ~ earliest ~ "'") if earliest else 'true' }}
        )
    {%- endset -%}
    {{ replace_changed_rows(arg_dict, 'session_start_date', is_replaced) }}
{%- endmacro %}

{# The earliest day of the recomputed messages (`earliest_billed_date`), also as a literal, lets DuckDB skip messages of earlier days. #}
{% macro duckdb__replace_messages_sql(arg_dict) -%}
    {%- set earliest = run_query(
        'select cast(min(day) as varchar) from (select min(earliest_billed_date) as day from ' ~ ref('int_messages_to_bill')
        ~ ' union all select min(billed_date) as day from ' ~ arg_dict['temp_relation'] ~ ') as days'
    ).columns[0].values()[0] -%}
    {%- set is_replaced -%}
        rowid in (
            select fact.rowid
            from {{ arg_dict['target_relation'] }} as fact
            where fact.billed_date is null and {{ is_recomputed_message(arg_dict) }}
            {%- if earliest %}
            union all
            select fact.rowid
            from {{ arg_dict['target_relation'] }} as fact
            where fact.billed_date >= date '{{ earliest }}' and {{ is_recomputed_message(arg_dict) }}
            {%- endif %}
        )
    {%- endset -%}
    {{ replace_changed_rows(arg_dict, billed_day(), is_replaced) }}
{%- endmacro %}

{# `is_replaced` is a condition on rows of the target: whether the recomputed rows contain the row's new form, if it still has one. #}
{% macro replace_changed_rows(arg_dict, day, is_replaced) -%}
    {%- set target = arg_dict['target_relation'] -%}
    {%- set recomputed = arg_dict['temp_relation'] -%}
    {%- set columns = arg_dict['dest_columns'] | map(attribute='quoted') | join(', ') -%}
    create or replace temp table rows_before as
    select rowid as row_id, {{ day }} as day, {{ row_fingerprint(columns) }} as fingerprint
    from {{ target }}
    where {{ is_replaced }};

    create or replace temp table rows_after as
    select rowid as row_id, {{ day }} as day, {{ row_fingerprint(columns) }} as fingerprint
    from {{ recomputed }};

    create or replace temp table rows_to_delete as
    select row_id, day
    from rows_before anti join rows_after using (fingerprint);

    create or replace temp table rows_to_insert as
    select row_id, day
    from rows_after anti join rows_before using (fingerprint);

    {{ log_changed_days(target, 'select day as session_start_date from rows_to_delete union select day as session_start_date from rows_to_insert') }}

    delete from {{ target }} where rowid in (select row_id from rows_to_delete);

    insert into {{ target }} ({{ columns }})
    select {{ columns }}
    from {{ recomputed }}
    where rowid in (select row_id from rows_to_insert);

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
    delete from {{ target }} where session_start_date in ({{ days_after_watermark(target) }});
    insert into {{ target }} ({{ columns }}) select {{ columns }} from {{ arg_dict['temp_relation'] }};
{%- endmacro %}

{# The incremental strategies on Spark. Each is one atomic statement on a table format that supports `merge` (Iceberg): a reader sees the
   table as it was before or after it, and a run that was killed can be repeated. #}

{# `delete+insert` replaces the rows of some keys. New rows match nothing and are inserted. An extra row per key with `is_new` false matches
   the rows to delete, in the same statement. #}
{% macro spark__replace_keys_sql(arg_dict) -%}
    {%- set keys = [arg_dict['unique_key']] if arg_dict['unique_key'] is string else arg_dict['unique_key'] -%}
    {%- set columns = arg_dict['dest_columns'] | map(attribute='name') | join(', ') -%}
    {%- set rows -%}
        select {{ columns }}, is_new
        from (
            select {{ columns }}, row_number() over (partition by {{ keys | join(', ') }} order by {{ keys[0] }}) as number_in_key
            from {{ arg_dict['temp_relation'] }}
        ) as numbered_rows
        lateral view explode(if(number_in_key = 1, array(false, true), array(true))) as is_new
    {%- endset -%}
    {{ spark_merge(arg_dict, keys, rows) }}
{%- endmacro %}

{# `rows` is a query with the target's columns and `is_new`, which is false in rows whose keys identify what to delete. `is_in_range` is a
   condition on rows of the target: whether they may be among those. #}
{% macro spark_merge(arg_dict, keys, rows, is_in_range=none) -%}
    {%- set columns = arg_dict['dest_columns'] | map(attribute='name') | list -%}
    merge into {{ arg_dict['target_relation'] }} as known
    using ({{ rows }}) as recomputed
        on not recomputed.is_new
        {%- for key in keys %}
        and known.{{ key }} <=> recomputed.{{ key }}
        {%- endfor %}
        {{ 'and ' ~ is_in_range if is_in_range }}
    when matched then delete
    when not matched and recomputed.is_new then insert ({{ columns | join(', ') }})
        values (recomputed.{{ columns | join(', recomputed.') }})
{%- endmacro %}

{% macro spark__replace_people_sql(arg_dict) -%}
    {{ spark_replace_changed_rows(
        arg_dict, arg_dict['unique_key'], 'session_start_date', 'session_start_date', has_person_to_recompute()
    ) }}
{%- endmacro %}

{% macro spark__replace_changes_of_people_sql(arg_dict) -%}
    {%- set is_replaced -%}
        exists (
            select 1
            from {{ ref('int_people_to_recompute') }} as people_to_recompute
            where person_id = people_to_recompute.identifier and {{ is_affected('sent_at', 'people_to_recompute.affected_from') }}
        )
    {%- endset -%}
    {{ spark_replace_changed_rows(arg_dict, arg_dict['unique_key'], 'session_start_date', 'session_start_date', is_replaced) }}
{%- endmacro %}

{% macro spark__replace_messages_sql(arg_dict) -%}
    {{ spark_replace_changed_rows(arg_dict, [arg_dict['unique_key']], 'billed_date', billed_day(), is_recomputed_message(arg_dict)) }}
{%- endmacro %}

{# `day` is the column that partitions the target's files; `day_to_log` is the day under which a row is logged. #}
{% macro spark_replace_changed_rows(arg_dict, keys, day, day_to_log, is_replaced) -%}
    {%- set target = arg_dict['target_relation'] -%}
    {%- set columns = arg_dict['dest_columns'] | map(attribute='name') | join(', ') -%}
    {%- set changes = spark_materialize_query('changes', 'with rows_before as (
            select struct(' ~ columns ~ ') as row_before from ' ~ target ~ ' where ' ~ is_replaced ~ '
        ),
        rows_after as (
            select struct(' ~ columns ~ ') as row_after from ' ~ arg_dict['temp_relation'] ~ '
        ),
        changed_rows as (
            select row_before, row_after
            from rows_before
            full outer join rows_after
                on ' ~ spark_keys_match('row_before', 'row_after', keys) ~ '
            where not row_before <=> row_after
        )
        select inline(array(struct(false as is_new, row_before as content), struct(true as is_new, row_after as content)))
        from changed_rows') -%}
    {%- set rows = 'select is_new, content.* from ' ~ changes ~ ' where content is not null' -%}
    {%- set days = run_query('select distinct content.' ~ day ~ ' from ' ~ changes ~ ' where content is not null').columns[0].values() | list -%}
    {%- if days -%}
        {%- do run_query(log_changed_days(target, 'select ' ~ day_to_log ~ ' as session_start_date from (' ~ rows ~ ')')) -%}
        {{ spark_merge(arg_dict, keys + [day], rows, spark_is_on_days('known.' ~ day, days)) }}
    {%- else -%}
        select 'nothing changed' as result
    {%- endif -%}
{%- endmacro %}

{% macro spark_keys_match(left, right, keys) -%}
    {%- for key in keys -%}
    {{ 'and ' if not loop.first }}{{ left }}.{{ key }} = {{ right }}.{{ key }}{{ ' ' if not loop.last }}
    {%- endfor -%}
{%- endmacro %}

{# Days as literals let Spark skip the files of all other days. #}
{% macro spark_is_on_days(column, days) -%}
    {%- set literals = [] -%}
    {%- for day in days | select('ne', none) | sort -%}
        {%- do literals.append("date '" ~ day.isoformat()[:10] ~ "'") -%}
    {%- endfor -%}
    {%- set conditions = [column ~ ' in (' ~ literals | join(', ') ~ ')'] if literals else [] -%}
    {%- if none in days -%}
        {%- do conditions.append(column ~ ' is null') -%}
    {%- endif -%}
    ({{ conditions | join(' or ') if conditions else 'false' }})
{%- endmacro %}

{# Replaces whole days in one statement, including days that are empty now. #}
{% macro spark__replace_days_sql(arg_dict) -%}
    {%- set target = arg_dict['target_relation'] -%}
    {%- set days = run_query(days_after_watermark(target)).columns[0].values() | unique | list -%}
    {%- if days -%}
    insert into {{ target }} replace where {{ spark_is_on_days('session_start_date', days) }}
    select {{ arg_dict['dest_columns'] | map(attribute='name') | join(', ') }} from {{ arg_dict['temp_relation'] }}
    {%- else -%}
    select 'nothing changed' as result
    {%- endif -%}
{%- endmacro %}

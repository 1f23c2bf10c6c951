{# What a data test reads in an increment of the job: only new and changed rows. The other rows passed in the previous build, and reading
   them took a third of an increment's time (5M sends: 14 of 38 CPU seconds). Every other run tests all rows: a build from the raw tables,
   dbt by hand, and the nightly check of everything (`nightly_check`).

   A test opts in with `config: {meta: {changes: {day: <column>}}}`, which selects the changed days of a fact, or with
   `{changes: {key: <column>, load_id: <column>}}`, which selects all rows of the keys that new loads touched. The tests of sums catch what
   this leaves out: a row left behind on another day makes a sum larger than the number of its source records. #}

{% macro checks_only_changes() -%}
    {{ return(execute and invocation_args_dict.get('selector') == 'increment') }}
{%- endmacro %}

{# Overrides the dbt macro that selects the rows of a test: in an increment, it adds the limit to new data to the `where` of the test. #}
{% macro get_where_subquery(relation) -%}
    {%- set conditions = [] -%}
    {%- if config.get('where') -%}
        {%- do conditions.append('(' ~ config.get('where') ~ ')') -%}
    {%- endif -%}
    {%- set changes = (config.get('meta') or {}).get('changes') -%}
    {%- if changes and checks_only_changes() -%}
        {%- do conditions.append(
            is_on_changed_day(changes.day) if changes.day else has_changed_key(relation, changes.key, changes.load_id)
        ) -%}
    {%- endif -%}
    {{ return('(select * from ' ~ relation ~ ' where ' ~ conditions | join(' and ') ~ ') as rows_to_check' if conditions else relation) }}
{%- endmacro %}

{% macro has_changed_key(relation, key, load_id) -%}
    (
        {{ key }} is null
        or {{ key }} in (
            select changed_rows.{{ key }} from {{ relation }} as changed_rows where changed_rows.{{ loads_not_built(load_id) }}
        )
    )
{%- endmacro %}

{# Days as literals let DuckDB skip the data of other days, also through a view. A row without a day is a billed message without a billed
   date. #}
{% macro is_on_changed_day(day) -%}
    {%- set days = run_query(
        'select distinct session_start_date from ' ~ source('state', 'changed_days').render() ~ ' where change_number > '
        ~ watermark_of('checks') ~ ' order by session_start_date'
    ).columns[0].values() -%}
    {%- if days -%}
    ({{ day }} in (date '{{ days | join("', date '") }}') or {{ day }} is null)
    {%- else -%}
    {{ day }} is null
    {%- endif -%}
{%- endmacro %}

{# Runs after the last node of a build of the job. If every check passed, later checks can skip these days. #}
{% macro move_watermark_of_checks(results) -%}
    {%- set is_job_build = invocation_args_dict.get('selector') in ('production', 'increment', 'increment_with_all_checks') -%}
    {%- if execute and flags.WHICH == 'build' and is_job_build -%}
        {%- if not results | rejectattr('status', 'in', ['success', 'pass', 'warn']) | list -%}
            {%- call statement('move_watermark_of_checks', auto_begin=true) -%}
                {{ move_watermark('checks') }}
            {%- endcall -%}
            {%- do adapter.commit() -%}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}

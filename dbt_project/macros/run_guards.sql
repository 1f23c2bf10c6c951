{# What every run of dbt checks before its first model: a run that would leave wrong marts is refused with one sentence. #}

{# Models that hold the rows of one run only; a fact may be written from them only in the run that made them. #}
{% macro models_of_one_run() -%}
    {{ return([
        'int_people_to_recompute', 'int_inbound_messages_classified', 'int_sends_with_status', 'int_activities_sessionized',
        'int_sends_replied', 'int_botmaker_sessions_started', 'int_botmaker_notifications_with_status',
    ]) }}
{%- endmacro %}

{% macro facts() -%}
    {{ return(['fct_notifications', 'int_starts_without_notification_unioned']) }}
{%- endmacro %}

{% macro refuse_unsafe_run() -%}
    {%- if execute and flags.WHICH in ('run', 'build') and target.name != 'published' -%}
        {%- set selected = [] -%}
        {%- for unique_id in selected_resources if unique_id.startswith('model.') -%}
            {%- do selected.append(unique_id.split('.')[-1]) -%}
        {%- endfor -%}
        {%- if selected and not flags.EMPTY -%}
            {{ refuse_without_raw_tables() }}
            {{ refuse_part_of_a_run(selected) }}
            {{ refuse_other_variables() }}
            {{ refuse_unfinished_rebuild() }}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}

{% macro refuse_without_raw_tables() -%}
    {%- set state = source('state', 'builds') -%}
    {%- if adapter.get_relation(state.database, state.schema, state.identifier) is none -%}
        {{ exceptions.raise_compiler_error('Nothing has landed in this warehouse yet: run the job conversation_starts first (make run).') }}
    {%- endif -%}
{%- endmacro %}

{% macro refuse_part_of_a_run(selected) -%}
    {%- set facts_selected = facts() | select('in', selected) | list -%}
    {%- set missing = models_of_one_run() | reject('in', selected) | list -%}
    {%- if facts_selected and missing -%}
        {{ exceptions.raise_compiler_error(
            facts_selected | join(' and ') ~ ' cannot be built without ' ~ missing | join(', ')
            ~ ', which hold the rows of one run: select the facts with everything they are made from, such as `dbt build -s +fct_session_starts`.'
        ) }}
    {%- endif -%}
    {%- if flags.FULL_REFRESH and selected | select('in', models_of_one_run() + facts()) | list
        and (facts() + models_of_one_run()) | reject('in', selected) | list -%}
        {{ exceptions.raise_compiler_error(
            'A full refresh of some models would leave the marts incomplete: run `dbt build --full-refresh` without a selection.'
        ) }}
    {%- endif -%}
{%- endmacro %}

{# Variables are written down by the job; marts must not mix the rules of two settings. #}
{% macro refuse_other_variables() -%}
    {%- set known = run_query('select name, value from ' ~ source('state', 'variables') ~ ' order by name') -%}
    {%- for row in known.rows -%}
        {%- if var(row[0], row[1]) | string != row[1] -%}
            {{ exceptions.raise_compiler_error(
                'The marts were built with ' ~ row[0] ~ ' ' ~ row[1] ~ ', not ' ~ var(row[0]) ~ ': run the job conversation_starts, which rebuilds them.'
            ) }}
        {%- endif -%}
    {%- endfor -%}
{%- endmacro %}

{% macro refuse_unfinished_rebuild() -%}
    {%- if not flags.FULL_REFRESH -%}
        {%- set builds = source('state', 'builds') -%}
        {%- set attempts = run_query(
            "select count(distinct definition_sha256), count(case when definition_sha256 = '' then 1 end) from " ~ builds
            ~ ' where build_id >= (select coalesce(max(build_id), 0) from ' ~ builds ~ ' where finished_at is not null)'
        ) -%}
        {%- if attempts.rows[0][0] > 1 or attempts.rows[0][1] > 0 -%}
            {{ exceptions.raise_compiler_error(
                'The marts have to be rebuilt, or the last rebuild did not finish: run the job conversation_starts, which rebuilds the marts.'
            ) }}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}

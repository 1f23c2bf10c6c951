{# What every run of dbt by hand checks before its first model: either it leaves marts that are right for what has landed, or it is refused
   with one sentence (contract, section 7).

   `state.builds` has one row per attempt to build the marts. Tables built from other models, look-ups or variables than today's, or by
   another version of DuckDB (the definition, below), must not be mixed with new rows. Therefore a run that writes with another definition
   than the latest attempt adds its own attempt, and the next build starts from the raw tables: the job does so by itself, dbt by hand only
   with `--full-refresh`.

   A run that rebuilds tables adds an attempt without a definition before its first model, because a rebuilt table has lost what the other
   tables still have to process, such as a removed link. Once all tables are rebuilt, the attempt gets its definition. The job keeps the
   same record itself (`orchestration/transform/builds.py`) and selects models that belong together; it passes a project that is already
   parsed, without the graph.

   In a project that uses this one as a package, only the nodes of this package are checked; the project's own models may run alone, at any
   time. #}

{% macro guard_run() -%}
    {%- if is_run_by_hand() -%}
        {{ refuse_retry() }}
    {%- endif -%}
    {%- if is_run_by_hand() and (nodes_to_write() or is_testing()) -%}
        {#- This comes first: on an engine where only the job writes, the run is refused here, whatever has landed. -#}
        {%- set definition = current_definition() if nodes_to_write() -%}
        {{ refuse_raw_tables_of_another_version() }}
        {{ refuse_nodes_with_missing_parents() }}
        {%- if nodes_to_write() -%}
            {{ refuse_unsafe_run(definition) }}
            {%- set attempt_definition = '' if rebuilds_tables() else definition -%}
            {%- if latest_definition() != attempt_definition -%}
                {{ add_attempt(attempt_definition) }}
            {%- endif -%}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}

{# After the last model: if all tables were rebuilt, they are consistent, and the next build may continue from them. #}
{% macro record_built_definition(results) -%}
    {%- if is_run_by_hand() and has_landing_tables() and rebuilds_tables() and not unselected_tables() -%}
        {%- set model_results = results | selectattr('node.resource_type', 'equalto', 'model') | list -%}
        {%- if not model_results | rejectattr('status', 'equalto', 'success') | list -%}
            {{ record_definition(current_definition()) }}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}

{% macro is_run_by_hand() -%}
    {{ return(execute and target.name != 'published' and graph.nodes is defined) }}
{%- endmacro %}

{% macro refuse_unsafe_run(definition) -%}
    {%- if flags.EMPTY -%}
        {{ refuse_empty_tables() }}
    {%- endif -%}
    {%- if marts_to_write() -%}
        {{ refuse_marts_of_another_definition(definition) }}
        {{ refuse_variables_of_another_environment() }}
        {{ refuse_partial_facts() }}
    {%- endif -%}
{%- endmacro %}

{# What the run will write #}

{% macro nodes_to_write(resource_types=('model', 'seed')) -%}
    {{ return(selected_project_nodes(resource_types) if flags.WHICH in ('run', 'build', 'seed') else []) }}
{%- endmacro %}

{% macro is_testing() -%}
    {{ return(flags.WHICH == 'test' and selected_project_nodes(('test', 'unit_test')) | length > 0) }}
{%- endmacro %}

{% macro selected_project_nodes(resource_types) -%}
    {%- set selected = [] -%}
    {%- for unique_id in selected_resources -%}
        {%- set parts = unique_id.split('.') -%}
        {%- if parts[0] in resource_types and parts[1] == 'conversation_starts' -%}
            {%- do selected.append(unique_id) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(selected) }}
{%- endmacro %}

{% macro project_nodes() -%}
    {{ return(graph.nodes.values() | selectattr('package_name', 'equalto', 'conversation_starts') | list) }}
{%- endmacro %}

{% macro node_names(nodes) -%}
    {{ return(nodes | map(attribute='name') | sort | list) }}
{%- endmacro %}

{# The tables of `fct_session_starts` and `fct_notifications`. #}
{% macro facts() -%}
    {{ return(['fct_notifications', 'int_starts_without_notification_unioned']) }}
{%- endmacro %}

{% macro marts_to_write() -%}
    {%- set marts = [] -%}
    {%- for unique_id in nodes_to_write() -%}
        {%- set node = graph.nodes[unique_id] -%}
        {%- if node.schema == 'marts' or node.name in facts() -%}
            {%- do marts.append(node.name) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(marts | sort) }}
{%- endmacro %}

{% macro project_tables() -%}
    {{ return(project_nodes() | selectattr('config.materialized', 'in', ['table', 'incremental']) | list) }}
{%- endmacro %}

{% macro intermediate_tables_to_write() -%}
    {%- set tables = project_tables() | selectattr('unique_id', 'in', nodes_to_write()) -%}
    {{ return(tables | rejectattr('schema', 'equalto', 'marts') | list) }}
{%- endmacro %}

{% macro rebuilds_tables() -%}
    {{ return(flags.FULL_REFRESH and intermediate_tables_to_write() | length > 0) }}
{%- endmacro %}

{% macro unselected_tables() -%}
    {{ return(node_names(project_tables() | rejectattr('unique_id', 'in', nodes_to_write()))) }}
{%- endmacro %}

{% macro unselected_models_and_lookups() -%}
    {%- set nodes = project_nodes() | selectattr('resource_type', 'in', ['model', 'seed']) -%}
    {{ return(node_names(nodes | rejectattr('unique_id', 'in', nodes_to_write()))) }}
{%- endmacro %}

{# Refusals #}

{# The version of the raw tables that the sources describe. `orchestration/landing/migrations.py` migrates older ones to it. #}
{% macro version_of_raw_tables() -%}
    {{ return(3) }}
{%- endmacro %}

{% macro has_landing_tables() -%}
    {%- set state = source('state', 'builds') -%}
    {{ return(adapter.get_relation(state.database, state.schema, 'schema_version') is not none) }}
{%- endmacro %}

{% macro refuse_raw_tables_of_another_version() -%}
    {%- if not has_landing_tables() -%}
        {#- Also for look-ups: no record exists yet of the version that writes them, which may differ from the version of the first
            build. -#}
        {{ exceptions.raise_compiler_error('Nothing has landed in this warehouse yet: run the job conversation_starts first (make run).') }}
    {%- else -%}
        {%- set state = source('state', 'builds') -%}
        {%- set schema_version = state.incorporate(path={'identifier': 'schema_version'}).render() -%}
        {%- set versions = run_query('select coalesce(max(version), 0) from ' ~ schema_version) -%}
        {%- if versions.rows[0][0] < version_of_raw_tables() -%}
            {{ exceptions.raise_compiler_error('The raw tables were written by an older version of this project: run the job conversation_starts first, which migrates them.') }}
        {%- elif versions.rows[0][0] > version_of_raw_tables() -%}
            {{ exceptions.raise_compiler_error('The raw tables were written by a newer version of this project: update this installation first.') }}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}

{# `dbt retry` runs what the last command did not finish, on tables that may be older than what has landed since or that other models built.
   dbt does not show that a command is a retry, nor what it selects. Hooks run for no other command without a selection. #}
{% macro refuse_retry() -%}
    {%- set words = (flags.INVOCATION_COMMAND or '').split() -%}
    {%- if flags.WHICH in ('run', 'build', 'seed') and (not selected_resources or words[:2] == ['dbt', 'retry']) -%}
        {{ exceptions.raise_compiler_error('`dbt retry` ignores what has landed or changed since the last command: run that command again, which processes only new data.') }}
    {%- endif -%}
{%- endmacro %}

{# Applies before the first build, and to a test of a model that was never built. #}
{% macro refuse_nodes_with_missing_parents() -%}
    {%- set parents = [] -%}
    {%- for unique_id in selected_project_nodes(('model', 'test', 'unit_test')) -%}
        {%- for parent in parents_of(unique_id) if parent in graph.nodes and parent not in nodes_to_write() and parent not in parents -%}
            {%- do parents.append(parent) -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- set missing = [] -%}
    {%- for parent in parents -%}
        {%- set node = graph.nodes[parent] -%}
        {%- if adapter.get_relation(node.database, node.schema, node.alias) is none -%}
            {%- do missing.append(node) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if missing -%}
        {{ exceptions.raise_compiler_error(
            'The selection needs ' ~ node_names(missing)[:3] | join(', ')
            ~ (' and ' ~ (missing | length - 3) ~ ' more' if missing | length > 3 else '') ~ ', not built yet: run `dbt build` without a selection.'
        ) }}
    {%- endif -%}
{%- endmacro %}

{# A unit test is not in the graph. It takes the types of its columns from its model and that model's parents; its id contains the name of
   the model. #}
{% macro parents_of(unique_id) -%}
    {%- set model = 'model.conversation_starts.' ~ unique_id.split('.')[2] -%}
    {{ return(graph.nodes[unique_id].depends_on.nodes if unique_id in graph.nodes else [model] + graph.nodes[model].depends_on.nodes) }}
{%- endmacro %}

{# `--empty` leaves views that read no rows, also for later runs. #}
{% macro refuse_empty_tables() -%}
    {%- set row_counts = run_query(
        'select (select count(*) from ' ~ source('raw', 'landed_files').render() ~ ')'
        ~ ' + (select count(*) from ' ~ source('state', 'builds').render() ~ ' where finished_at is not null)'
    ) -%}
    {%- if row_counts.rows[0][0] > 0 -%}
        {{ exceptions.raise_compiler_error('--empty would hide landed data: omit it, or use a warehouse in which nothing has landed.') }}
    {%- endif -%}
{%- endmacro %}

{% macro refuse_marts_of_another_definition(definition) -%}
    {%- set is_rebuild = flags.FULL_REFRESH and not unselected_models_and_lookups() -%}
    {%- if attempts_of_another_definition(definition) > 0 and not is_rebuild -%}
        {%- for name, value in recorded_variables().items() if var(name, value) | string != value -%}
            {{ exceptions.raise_compiler_error(
                'The marts were built with ' ~ name ~ ' ' ~ value ~ ', not ' ~ var(name) ~ ": add --vars '{" ~ name ~ ': ' ~ value
                ~ "}', or rebuild everything with `dbt build --full-refresh`."
            ) }}
        {%- endfor -%}
        {{ exceptions.raise_compiler_error(
            'The marts were not built with these models, look-ups, variables and version of DuckDB, or they have to be rebuilt, or the last'
            ~ ' rebuild did not finish: run the job conversation_starts (make run), or `dbt build --full-refresh` without a selection.'
        ) }}
    {%- endif -%}
{%- endmacro %}

{# dbt by hand takes its variables from the project or the command line; the job takes these three from the environment. #}
{% macro refuse_variables_of_another_environment() -%}
    {%- for name in ('report_timezone', 'billing_timezone', 'billing_currency') if name not in (invocation_args_dict.vars or {}) -%}
        {%- set setting = 'STARTS_' ~ name | upper -%}
        {%- set value = env_var(setting, '') -%}
        {%- if value | trim and value != var(name) -%}
            {{ exceptions.raise_compiler_error(
                setting ~ ' is ' ~ value ~ ' for the job, and here ' ~ name ~ ' is ' ~ (var(name) or 'empty')
                ~ ": add --vars '{" ~ name ~ ': ' ~ value ~ "}'."
            ) }}
        {%- endif -%}
    {%- endfor -%}
{%- endmacro %}

{# These tables depend on the people to recompute that earlier models of the same run found, and the daily marts depend on these tables. #}
{% macro refuse_partial_facts() -%}
    {%- set facts_to_write = (facts() + ['fct_billed_messages']) | select('in', marts_to_write()) | list -%}
    {%- set left_out = unselected_tables() if has_finished_build() else unselected_models_and_lookups() -%}
    {%- if left_out and facts_to_write -%}
        {{ exceptions.raise_compiler_error(
            facts_to_write | join(' and ') ~ ' cannot be built without ' ~ left_out[:3] | join(', ')
            ~ (' and ' ~ (left_out | length - 3) ~ ' more' if left_out | length > 3 else '')
            ~ ': run `dbt build` without a selection'
            ~ (', or `dbt build -s +fct_session_starts+ +fct_billed_messages`.' if has_finished_build() else '.')
        ) }}
    {%- endif -%}
{%- endmacro %}

{# The record of builds #}

{% macro has_finished_build() -%}
    {%- set builds = source('state', 'builds').render() -%}
    {{ return(run_query('select count(*) from ' ~ builds ~ ' where finished_at is not null').rows[0][0] > 0) }}
{%- endmacro %}

{# The last finished build and every later attempt: an attempt that failed halfway has left its own tables behind. #}
{% macro attempts_of_another_definition(definition) -%}
    {%- set builds = source('state', 'builds').render() -%}
    {%- set attempts = run_query(
        'select count(*) from ' ~ builds ~ " where definition_sha256 <> '" ~ definition ~ "'"
        ~ ' and build_id >= (select coalesce(max(build_id), 0) from ' ~ builds ~ ' where finished_at is not null)'
    ) -%}
    {{ return(attempts.rows[0][0]) }}
{%- endmacro %}

{% macro latest_definition() -%}
    {%- set latest = run_query('select definition_sha256 from ' ~ source('state', 'builds').render() ~ ' order by build_id desc limit 1') -%}
    {{ return(latest.rows[0][0] if latest.rows else none) }}
{%- endmacro %}

{% macro add_attempt(definition) -%}
    {%- set builds = source('state', 'builds').render() -%}
    {%- call statement('add_attempt', auto_begin=true) -%}
        insert into {{ builds }} (build_id, started_at, finished_at, through_load_id, definition_sha256)
        select
            (select coalesce(max(build_id), 0) + 1 from {{ builds }}),
            {{ utc_now() }},
            null,
            (select coalesce(max(load_id), 0) from {{ source('raw', 'landed_files').render() }}),
            '{{ definition }}'
    {%- endcall -%}
    {#- Nothing else commits what a hook writes. -#}
    {%- do adapter.commit() -%}
{%- endmacro %}

{% macro record_definition(definition) -%}
    {%- set builds = source('state', 'builds').render() -%}
    {%- call statement('record_definition', auto_begin=true) -%}
        update {{ builds }} set definition_sha256 = '{{ definition }}'
        where build_id > (select coalesce(max(build_id), 0) from {{ builds }} where finished_at is not null)
    {%- endcall -%}
    {%- do adapter.commit() -%}
{%- endmacro %}

{% macro recorded_variables() -%}
    {%- set recorded = {} -%}
    {%- for row in run_query('select name, value from ' ~ source('state', 'variables').render()).rows -%}
        {%- do recorded.update({row[0]: row[1]}) -%}
    {%- endfor -%}
    {{ return(recorded) }}
{%- endmacro %}

{# A hash of everything that determines the content of the marts for given raw tables. It equals `definition_sha256` in
   `orchestration/transform/builds.py` for a run of the job. #}
{% macro current_definition() -%}
    {%- set variables = {} -%}
    {%- for name in variable_names() -%}
        {%- do variables.update({name: var(name)}) -%}
    {%- endfor -%}
    {{ return(adapter.dispatch('hash_of_definition', 'conversation_starts')(tojson(variables, sort_keys=true))) }}
{%- endmacro %}

{# The variables of dbt_project.yml. Another project or the command line may change their values. #}
{% macro variable_names() -%}
    {{ return([
        'report_timezone', 'session_timeout_hours', 'reply_window_hours', 'reply_horizon_days', 'new_user_tolerance_seconds',
        'max_identifiers_per_person', 'max_silence_hours', 'include_testers', 'billing_timezone', 'billing_currency',
    ]) }}
{%- endmacro %}

{# dbt keeps the folder of an installed package only on its seeds (`root_path`). #}
{% macro project_folder() -%}
    {%- if project_name != 'conversation_starts' -%}
        {{ return(graph.nodes['seed.conversation_starts.channels'].root_path) }}
    {%- endif -%}
    {{ return(invocation_args_dict.project_dir | string) }}
{%- endmacro %}

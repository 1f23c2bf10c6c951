{# What this project needs beyond dbt-spark. The materializations of dbt-spark call these macros by name, and a macro of the node's own
   project takes precedence over the adapter's. #}

{# dbt-spark accepts only its own four strategies. #}
{% macro dbt_spark_validate_get_incremental_strategy(raw_strategy, file_format) -%}
    {{ return(raw_strategy) }}
{%- endmacro %}

{% macro dbt_spark_get_incremental_sql(strategy, source, target, existing, unique_key, incremental_predicates) -%}
    {%- set arg_dict = {
        'temp_relation': source, 'target_relation': target, 'unique_key': unique_key, 'dest_columns': adapter.get_columns_in_relation(target),
    } -%}
    {%- if strategy == 'delete+insert' -%}
        {{ return(spark__replace_keys_sql(arg_dict)) }}
    {%- endif -%}
    {{ return(context['get_incremental_' ~ strategy ~ '_sql'](arg_dict)) }}
{%- endmacro %}

{# In a Spark session, dbt-spark binds a null as the text `None` and does not escape quotation marks. #}
{% macro spark__load_csv_rows(model, agate_table) -%}
    {%- set types = model['config'].get('column_types', {}) -%}
    {%- set rows = [] -%}
    {%- for row in agate_table.rows -%}
        {%- set values = [] -%}
        {%- for name in agate_table.column_names -%}
            {%- set text = 'null' if row[name] is none else "'" ~ (row[name] | string | replace('\\', '\\\\') | replace("'", "\\'")) ~ "'" -%}
            {%- do values.append('cast(' ~ text ~ ' as ' ~ types.get(name, adapter.convert_type(agate_table, loop.index0)) ~ ')') -%}
        {%- endfor -%}
        {%- do rows.append('(' ~ values | join(', ') ~ ')') -%}
    {%- endfor -%}
    {%- set sql = 'insert into ' ~ this.render() ~ ' values ' ~ rows | join(', ') -%}
    {%- do adapter.add_query(sql, abridge_sql_log=True) -%}
    {{ return(sql) }}
{%- endmacro %}

{% macro spark__create_table_as(temporary, relation, compiled_code, language='sql') -%}
    {%- if not execute or language != 'sql' or model.resource_type == 'unit_test' -%}
        {{ return(dbt.spark__create_table_as(temporary, relation, compiled_code, language)) }}
    {%- endif -%}
    {%- set code = spark_materialize_ctes(compiled_code) -%}
    {%- if not temporary and config.persist_column_docs() -%}
        {#- A table inherits the column comments of the view that it is made from; dbt-spark would alter the table once per column. -#}
        {%- set columns = model.columns.values() | map(attribute='name') | list -%}
        {%- set described = relation.identifier ~ '__described' -%}
        {%- do run_query(
            'create or replace temporary view ' ~ described ~ ' (' ~ get_persist_docs_column_list(model.columns, columns)
            ~ ') as select ' ~ columns | join(', ') ~ ' from (' ~ code ~ ')'
        ) -%}
        {%- set code = 'select * from ' ~ described -%}
    {%- endif -%}
    {{ dbt.spark__create_table_as(temporary, relation, code, language) }}
{%- endmacro %}

{% macro spark__alter_column_comment(relation, column_dict) -%}
    {%- set changed = {} -%}
    {%- for row in run_query('describe table ' ~ relation).rows -%}
        {%- if row[0] in column_dict and column_dict[row[0]]['description'] != (row[2] or '') -%}
            {%- do changed.update({row[0]: column_dict[row[0]]}) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- do dbt.spark__alter_column_comment(relation, changed) -%}
{%- endmacro %}

{# Spark plans and evaluates a common table expression again for each reader. An expression with this mark is written to a table before the
   statement that reads it, and a hook of the model drops that table (`drop_materialized_ctes`). A view in the session's cache would be
   planned just as often. The expression begins and ends on a line of its own without indentation, as in all models. #}
{% macro spark__materialized_cte() -%}
    -- (materialized once for all readers)
{%- endmacro %}

{% macro spark_materialize_ctes(compiled_code) -%}
    {%- set state = namespace(code=compiled_code) -%}
    {%- for _ in range(compiled_code.count(spark__materialized_cte() | trim)) -%}
        {%- set before, body = state.code.split(spark__materialized_cte() | trim, 1) -%}
        {%- set name = modules.re.findall('(?m)^(?:with )?([a-z_0-9]+) as [(]$', before)[-1] -%}
        {%- set end = modules.re.search('(?m)^[)]', body).start() -%}
        {%- set table_name = spark_materialize_query(name, before ~ body[:end] ~ ') select * from ' ~ name) -%}
        {%- set state.code = before ~ 'select * from ' ~ table_name ~ '\n\n' ~ body[end:] -%}
    {%- endfor -%}
    {{ return(state.code) }}
{%- endmacro %}

{# Write the result of a query to a table for this model, which the model's hook drops. Returns the table's name. #}
{% macro spark_materialize_query(name, query) -%}
    {%- set table_name = 'intermediate.' ~ this.identifier ~ '__' ~ name -%}
    {%- do run_query('create or replace table ' ~ table_name ~ ' using ' ~ config.get('file_format') ~ ' as ' ~ query) -%}
    {{ return(table_name) }}
{%- endmacro %}

{% macro spark__drop_materialized_ctes() -%}
    {%- for table in run_query("show tables in intermediate like '" ~ this.identifier ~ "__*'").rows -%}
        {%- do run_query('drop table intermediate.' ~ table['tableName'] ~ ' purge') -%}
    {%- endfor -%}
{%- endmacro %}

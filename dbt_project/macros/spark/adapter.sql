{# What this project needs of dbt-spark beyond what it has. Its materializations call these macros by their names, and a node's own
   project comes before the adapter. #}

{# dbt-spark takes no strategies but its own four. #}
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

{# Through a Spark session dbt-spark binds a null as the text `None`, and a quotation mark as it is. #}
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

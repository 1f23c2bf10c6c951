{# Schemas have the names of the contract (section 7) in every target, without the target's prefix. In the published file, which dbt only
   reads, the marts are in one schema. #}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {%- if custom_schema_name is none or target.name == 'published' -%}
        {{ target.schema }}
    {%- else -%}
        {{ custom_schema_name | trim }}
    {%- endif -%}
{%- endmacro %}

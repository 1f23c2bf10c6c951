{# By hand, dbt may only read and test what the job built on Spark. The hash of the project's files must be computed where the files are: on
   the job's machine, not on the executors. #}
{% macro spark__hash_of_definition(variables) -%}
    {{ exceptions.raise_compiler_error('On Spark only the job conversation_starts (make run) builds the marts: run it instead of dbt by hand.') }}
{%- endmacro %}

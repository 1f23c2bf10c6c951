{# By hand, dbt may read and test what the job built on Spark, and no more: the definition of the project's files is worked out where the
   files are, which is beside the job and not on the executors. #}
{% macro spark__hash_of_definition(variables) -%}
    {{ exceptions.raise_compiler_error('On Spark only the job conversation_starts (make run) builds the marts: run it instead of dbt by hand.') }}
{%- endmacro %}

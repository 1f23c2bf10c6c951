{# dbt-duckdb lets DuckDB read the CSV file again. DuckDB guesses the quotation mark, so it reads the name `'Loja'` as `Loja`; and it reads
   `null` and blank values as texts, where dbt, which reads the file for Spark, finds no value. #}
{% macro duckdb__load_csv_rows(model, agate_table) -%}
    {{ return(default__load_csv_rows(model, agate_table)) }}
{%- endmacro %}

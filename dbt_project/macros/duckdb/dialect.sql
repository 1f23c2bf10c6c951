{# The DuckDB versions of the macros in macros/dialect.sql. #}

{% macro duckdb__hash_of_text(text) -%}
    md5_number({{ text }})
{%- endmacro %}

{% macro duckdb__time_in_zone(timestamp, zone) -%}
    timezone('{{ zone }}', timezone('UTC', {{ timestamp }}))
{%- endmacro %}

{% macro duckdb__iso_weekday(timestamp) -%}
    extract(isodow from {{ timestamp }})
{%- endmacro %}

{% macro duckdb__digits_only(text) -%}
    regexp_replace({{ text }}, '[^0-9]', '', 'g')
{%- endmacro %}

{% macro duckdb__letters_only(text) -%}
    regexp_replace({{ text }}, '[^A-Za-z]', '', 'g')
{%- endmacro %}

{% macro duckdb__price_struct(status) -%}
    struct_pack(
        said_at := {{ status }}.happened_at, category := {{ status }}.pricing_category,
        model := {{ status }}.pricing_model, type := {{ status }}.pricing_type
    )
{%- endmacro %}

{% macro duckdb__matches(text, pattern) -%}
    regexp_matches({{ text }}, '{{ pattern }}')
{%- endmacro %}

{% macro duckdb__regexp_group(text, pattern, group) -%}
    regexp_extract({{ text }}, '{{ pattern }}', {{ group }})
{%- endmacro %}

{% macro duckdb__lower_case(text) -%}
    lower({{ text }})
{%- endmacro %}

{% macro duckdb__utc_second(text) -%}
    date_trunc('second', timezone('UTC', try_cast({{ text }} as timestamptz)))
{%- endmacro %}

{% macro duckdb__utc_now() -%}
    timezone('UTC', now())
{%- endmacro %}

{% macro duckdb__day_series(first_day, last_day) -%}
    unnest(range(date '{{ first_day }}', date '{{ last_day }}', interval 1 day))
{%- endmacro %}

{# DuckDB keeps all tables in one file; a model's rows are stored in the order in which their days arrived. #}
{% macro duckdb__partition_column(column) -%}
    {{ return(none) }}
{%- endmacro %}

{% macro duckdb__materialized_cte() -%}
{%- endmacro %}

{% macro duckdb__drop_materialized_ctes() -%}
{%- endmacro %}

{# For a join, DuckDB reads a column of every row that may match; for a range of row ids, it reads no other rows (a day of 16,000 sends out
   of 5M: 0.17 CPU seconds instead of 1.12). DuckDB also skips rows by a Bloom filter, but only if the subquery has a filter of its own:
   hence the condition on `rowid`, which is always true (a day of 83,000 sends out of 5M: 1.9 seconds instead of 3.1 for the statuses). #}
{% macro duckdb__selective_filter(relation, condition) -%}
    rowid in (select matching_rows.rowid from {{ relation }} as matching_rows where ({{ condition }}) and matching_rows.rowid >= 0)
{%- endmacro %}

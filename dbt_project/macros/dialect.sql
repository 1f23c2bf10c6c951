{# Everything in which the engines differ. Models call these macros and are otherwise the same SQL on DuckDB and Spark. #}

{# A 128-bit key of some columns, null if one of them is null. Grouping and joining by it takes a third of the memory that the ids
   themselves take. The length of each column but the last distinguishes `a|b` and `c` from `a` and `b|c`. #}
{% macro key_hash(columns) -%}
    {%- set parts = [] -%}
    {%- for column in columns[:-1] -%}
        {%- do parts.extend(["cast(length(" ~ column ~ ") as " ~ dbt.type_string() ~ ")", column]) -%}
    {%- endfor -%}
    {{ return(adapter.dispatch('hash_of_text', 'conversation_starts')((parts + columns[-1:]) | join(" || '|' || "))) }}
{%- endmacro %}

{# A UTC timestamp as local time in a zone. #}
{% macro time_in_zone(timestamp, zone) -%}
    {{ return(adapter.dispatch('time_in_zone', 'conversation_starts')(timestamp, zone)) }}
{%- endmacro %}

{# The weekday by ISO 8601: 1 is Monday, 7 is Sunday. #}
{% macro iso_weekday(timestamp) -%}
    {{ return(adapter.dispatch('iso_weekday', 'conversation_starts')(timestamp)) }}
{%- endmacro %}

{% macro digits_only(text) -%}
    {{ return(adapter.dispatch('digits_only', 'conversation_starts')(text)) }}
{%- endmacro %}

{% macro letters_only(text) -%}
    {{ return(adapter.dispatch('letters_only', 'conversation_starts')(text)) }}
{%- endmacro %}

{# The pricing object of a status and its time as one value; null without pricing. The smallest value is the earliest; ties are broken by
   the fields in their order, nulls last. #}
{% macro price_of_status(status) -%}
    case
        when coalesce({{ status }}.pricing_category, {{ status }}.pricing_model, {{ status }}.pricing_type) is not null
            then {{ adapter.dispatch('price_struct', 'conversation_starts')(status) }}
    end
{%- endmacro %}

{% macro matches(text, pattern) -%}
    {{ return(adapter.dispatch('matches', 'conversation_starts')(text, pattern)) }}
{%- endmacro %}

{# A group of the first match of a pattern in a text; empty if there is no match. #}
{% macro regexp_group(text, pattern, group) -%}
    {{ return(adapter.dispatch('regexp_group', 'conversation_starts')(text, pattern, group)) }}
{%- endmacro %}

{% macro lower_case(text) -%}
    {{ return(adapter.dispatch('lower_case', 'conversation_starts')(text)) }}
{%- endmacro %}

{# Sessions compare times truncated to whole seconds, because webhooks have no fractions (contract, section 4.3). #}
{% macro whole_second(timestamp) -%}
    date_trunc('second', {{ timestamp }})
{%- endmacro %}

{# An ISO 8601 time with an offset, as text, truncated to the second in UTC; null if the text is not such a time. #}
{% macro utc_second(text) -%}
    {{ return(adapter.dispatch('utc_second', 'conversation_starts')(text)) }}
{%- endmacro %}

{# The current time in UTC, also if another project runs these models in a session with another time zone. #}
{% macro utc_now() -%}
    {{ return(adapter.dispatch('utc_now', 'conversation_starts')()) }}
{%- endmacro %}

{# One row per day from the first day up to, but not including, the last. #}
{% macro day_series(first_day, last_day) -%}
    {{ return(adapter.dispatch('day_series', 'conversation_starts')(first_day, last_day)) }}
{%- endmacro %}

{# The column that partitions a table's files, so that a change on one day rewrites only the files of that day. #}
{% macro partition_column(column) -%}
    {{ return(adapter.dispatch('partition_column', 'conversation_starts')(column)) }}
{%- endmacro %}

{# Marks a common table expression that several others read; stands first in it. By itself, DuckDB evaluates such an expression only
   once. #}
{% macro materialized_cte() -%}
    {{ adapter.dispatch('materialized_cte', 'conversation_starts')() }}
{%- endmacro %}

{# The hook of a model with expressions marked by `materialized_cte`. #}
{% macro drop_materialized_ctes() -%}
    {%- if execute -%}
    {{ adapter.dispatch('drop_materialized_ctes', 'conversation_starts')() }}
    {%- endif -%}
{%- endmacro %}

{# A condition on a large table that is true for few rows, most of them recent. The columns of the condition are read in the whole table,
   all other columns only where these rows are. `relation` is what the query selects from; in a unit test, it holds fixture rows. #}
{% macro selective_filter(relation, condition) -%}
    {%- if relation is string or relation.is_cte -%}
    {{ condition }}
    {%- else -%}
    {{ adapter.dispatch('selective_filter', 'conversation_starts')(relation, condition) }}
    {%- endif -%}
{%- endmacro %}

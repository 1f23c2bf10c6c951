{# Everything in which engines differ. Models call these and are otherwise the same SQL on DuckDB and Spark. #}

{# A 128-bit key of some columns, null where one of them is: a third of the memory of grouping and joining by the
   ids themselves. The length of each column but the last keeps `a|b` and `c` apart from `a` and `b|c`. #}
{% macro key_hash(columns) -%}
    {%- set parts = [] -%}
    {%- for column in columns[:-1] -%}
        {%- do parts.extend(["cast(length(" ~ column ~ ") as " ~ dbt.type_string() ~ ")", column]) -%}
    {%- endfor -%}
    {{ return(adapter.dispatch('hash_of_text', 'conversation_starts')((parts + columns[-1:]) | join(" || '|' || "))) }}
{%- endmacro %}

{# A UTC time stamp as the clocks of a zone show it. #}
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

{# The pricing object of a status with its time, as one value; null without one. The smallest of some is the earliest; ties go by
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

{# A group of the first match of a pattern in a text; empty without one. #}
{% macro part_of_text(text, pattern, group) -%}
    {{ return(adapter.dispatch('part_of_text', 'conversation_starts')(text, pattern, group)) }}
{%- endmacro %}

{% macro lower_case(text) -%}
    {{ return(adapter.dispatch('lower_case', 'conversation_starts')(text)) }}
{%- endmacro %}

{# Sessions compare times by whole seconds, cut off: webhooks know no fractions (contract, section 4.3). #}
{% macro whole_second(timestamp) -%}
    date_trunc('second', {{ timestamp }})
{%- endmacro %}

{# The second, in UTC, of a text that is a time in ISO 8601 with an offset; null where there is no such time. #}
{% macro utc_second(text) -%}
    {{ return(adapter.dispatch('utc_second', 'conversation_starts')(text)) }}
{%- endmacro %}

{# Now, in UTC: another project may run these models in a session of another time zone. #}
{% macro utc_now() -%}
    {{ return(adapter.dispatch('utc_now', 'conversation_starts')()) }}
{%- endmacro %}

{# A row for each day from the first up to, not including, the last. #}
{% macro day_series(first_day, last_day) -%}
    {{ return(adapter.dispatch('day_series', 'conversation_starts')(first_day, last_day)) }}
{%- endmacro %}

{# The column by whose values a table's rows lie in files of their own, so that what changes on a day rewrites the files of that day. #}
{% macro files_by(column) -%}
    {{ return(adapter.dispatch('files_by', 'conversation_starts')(column)) }}
{%- endmacro %}

{# Stands first in a common table expression that several others read. DuckDB works it out once by itself. #}
{% macro read_often() -%}
    {{ adapter.dispatch('read_often', 'conversation_starts')() }}
{%- endmacro %}

{# Of a model with expressions that are read often: its hook. #}
{% macro forget_what_was_read_often() -%}
    {%- if execute -%}
    {{ adapter.dispatch('forget_what_was_read_often', 'conversation_starts')() }}
    {%- endif -%}
{%- endmacro %}

{# A condition on a large table that holds for few rows, most of them written of late: what it reads is looked at in the whole table, all
   other columns only where the rows lie. `relation` is what the query selects from; a unit test has rows in its place. #}
{% macro holds_for_few(relation, condition) -%}
    {%- if relation is string or relation.is_cte -%}
    {{ condition }}
    {%- else -%}
    {{ adapter.dispatch('holds_for_few', 'conversation_starts')(relation, condition) }}
    {%- endif -%}
{%- endmacro %}

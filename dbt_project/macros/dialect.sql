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

{% macro default__hash_of_text(text) -%}
    md5({{ text }})
{%- endmacro %}

{% macro duckdb__hash_of_text(text) -%}
    md5_number({{ text }})
{%- endmacro %}

{# A UTC time stamp as the clocks of a zone show it. #}
{% macro time_in_zone(timestamp, zone) -%}
    {{ return(adapter.dispatch('time_in_zone', 'conversation_starts')(timestamp, zone)) }}
{%- endmacro %}

{% macro default__time_in_zone(timestamp, zone) -%}
    from_utc_timestamp({{ timestamp }}, '{{ zone }}')
{%- endmacro %}

{% macro duckdb__time_in_zone(timestamp, zone) -%}
    timezone('{{ zone }}', timezone('UTC', {{ timestamp }}))
{%- endmacro %}

{# The weekday by ISO 8601: 1 is Monday, 7 is Sunday. #}
{% macro iso_weekday(timestamp) -%}
    {{ return(adapter.dispatch('iso_weekday', 'conversation_starts')(timestamp)) }}
{%- endmacro %}

{% macro default__iso_weekday(timestamp) -%}
    extract(dayofweek_iso from {{ timestamp }})
{%- endmacro %}

{% macro duckdb__iso_weekday(timestamp) -%}
    extract(isodow from {{ timestamp }})
{%- endmacro %}

{% macro digits_only(text) -%}
    {{ return(adapter.dispatch('digits_only', 'conversation_starts')(text)) }}
{%- endmacro %}

{% macro default__digits_only(text) -%}
    regexp_replace({{ text }}, '[^0-9]', '')
{%- endmacro %}

{% macro duckdb__digits_only(text) -%}
    regexp_replace({{ text }}, '[^0-9]', '', 'g')
{%- endmacro %}

{% macro letters_only(text) -%}
    {{ return(adapter.dispatch('letters_only', 'conversation_starts')(text)) }}
{%- endmacro %}

{% macro default__letters_only(text) -%}
    regexp_replace({{ text }}, '[^A-Za-z]', '')
{%- endmacro %}

{% macro duckdb__letters_only(text) -%}
    regexp_replace({{ text }}, '[^A-Za-z]', '', 'g')
{%- endmacro %}

{# The pricing object of a status with its time, as one value; null without one. The smallest of some is the earliest; ties go by
   the fields in their order, nulls last (DuckDB orders nested nulls so; Spark puts them first). #}
{% macro price_of_status(status) -%}
    case
        when coalesce({{ status }}.pricing_category, {{ status }}.pricing_model, {{ status }}.pricing_type) is not null
            then {{ adapter.dispatch('price_struct', 'conversation_starts')(status) }}
    end
{%- endmacro %}

{% macro default__price_struct(status) -%}
    named_struct(
        'said_at', {{ status }}.happened_at, 'category', {{ status }}.pricing_category,
        'model', {{ status }}.pricing_model, 'type', {{ status }}.pricing_type
    )
{%- endmacro %}

{% macro duckdb__price_struct(status) -%}
    struct_pack(
        said_at := {{ status }}.happened_at, category := {{ status }}.pricing_category,
        model := {{ status }}.pricing_model, type := {{ status }}.pricing_type
    )
{%- endmacro %}

{% macro matches(text, pattern) -%}
    {{ return(adapter.dispatch('matches', 'conversation_starts')(text, pattern)) }}
{%- endmacro %}

{% macro default__matches(text, pattern) -%}
    {{ text }} rlike '{{ pattern }}'
{%- endmacro %}

{% macro duckdb__matches(text, pattern) -%}
    regexp_matches({{ text }}, '{{ pattern }}')
{%- endmacro %}

{# A row's content as two 64-bit hashes: 3 times faster than comparing 34 columns with `except`. #}
{% macro row_fingerprint(columns) -%}
    {{ return(adapter.dispatch('row_fingerprint', 'conversation_starts')(columns)) }}
{%- endmacro %}

{% macro default__row_fingerprint(columns) -%}
    concat_ws(':', xxhash64({{ columns }}), xxhash64('second', {{ columns }}))
{%- endmacro %}

{% macro duckdb__row_fingerprint(columns) -%}
    struct_pack(first := hash({{ columns }}), second := hash('second', {{ columns }}))
{%- endmacro %}

{# Sessions compare times by whole seconds, cut off: webhooks know no fractions (contract, section 4.3). #}
{% macro whole_second(timestamp) -%}
    date_trunc('second', {{ timestamp }})
{%- endmacro %}

{# The second, in UTC, of a text that is a time in ISO 8601 with an offset; null where there is no such time. #}
{% macro utc_second(text) -%}
    {{ return(adapter.dispatch('utc_second', 'conversation_starts')(text)) }}
{%- endmacro %}

{% macro default__utc_second(text) -%}
    date_trunc('second', try_to_timestamp({{ text }}))
{%- endmacro %}

{% macro duckdb__utc_second(text) -%}
    date_trunc('second', timezone('UTC', try_cast({{ text }} as timestamptz)))
{%- endmacro %}

{# Now, in UTC: another project may run these models in a session of another time zone. #}
{% macro utc_now() -%}
    {{ return(adapter.dispatch('utc_now', 'conversation_starts')()) }}
{%- endmacro %}

{% macro default__utc_now() -%}
    to_utc_timestamp(current_timestamp(), current_timezone())
{%- endmacro %}

{% macro duckdb__utc_now() -%}
    timezone('UTC', now())
{%- endmacro %}

{# A row for each day from the first up to, not including, the last. #}
{% macro day_series(first_day, last_day) -%}
    {{ return(adapter.dispatch('day_series', 'conversation_starts')(first_day, last_day)) }}
{%- endmacro %}

{% macro default__day_series(first_day, last_day) -%}
    explode(sequence(date '{{ first_day }}', date '{{ last_day }}' - interval 1 day, interval 1 day))
{%- endmacro %}

{% macro duckdb__day_series(first_day, last_day) -%}
    unnest(range(date '{{ first_day }}', date '{{ last_day }}', interval 1 day))
{%- endmacro %}

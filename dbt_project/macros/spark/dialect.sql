{# The Spark versions of the macros in macros/dialect.sql. #}

{% macro spark__hash_of_text(text) -%}
    md5({{ text }})
{%- endmacro %}

{% macro spark__time_in_zone(timestamp, zone) -%}
    from_utc_timestamp({{ timestamp }}, '{{ zone }}')
{%- endmacro %}

{% macro spark__iso_weekday(timestamp) -%}
    extract(dayofweek_iso from {{ timestamp }})
{%- endmacro %}

{% macro spark__digits_only(text) -%}
    regexp_replace({{ text }}, '[^0-9]', '')
{%- endmacro %}

{% macro spark__letters_only(text) -%}
    regexp_replace({{ text }}, '[^A-Za-z]', '')
{%- endmacro %}

{# Spark sorts nested nulls first; the flag before each field sorts them last. #}
{% macro spark__price_struct(status) -%}
    named_struct(
        'said_at', {{ status }}.happened_at,
        'has_no_category', {{ status }}.pricing_category is null, 'category', {{ status }}.pricing_category,
        'has_no_model', {{ status }}.pricing_model is null, 'model', {{ status }}.pricing_model,
        'has_no_type', {{ status }}.pricing_type is null, 'type', {{ status }}.pricing_type
    )
{%- endmacro %}

{# Converts an RE2 pattern to a Java pattern: in Java, a dot excludes more than a newline, and `$` also matches before a final newline. #}
{% macro spark_pattern(pattern) -%}
    r'(?d){{ pattern[:-1] ~ '\\z' if pattern.endswith('$') else pattern }}'
{%- endmacro %}

{% macro spark__matches(text, pattern) -%}
    {{ text }} rlike {{ spark_pattern(pattern) }}
{%- endmacro %}

{% macro spark__regexp_group(text, pattern, group) -%}
    regexp_extract({{ text }}, {{ spark_pattern(pattern) }}, {{ group }})
{%- endmacro %}

{# Java lowercases a capital sigma depending on its place in a word, and the Turkish capital I to two characters. #}
{% macro spark__lower_case(text) -%}
    lower(translate({{ text }}, 'İΣ', 'iσ'))
{%- endmacro %}

{% macro spark__utc_second(text) -%}
    {#- Spark accepts only offsets with a colon. -#}
    date_trunc('second', try_to_timestamp(regexp_replace({{ text }}, '([+-][0-9]{2})([0-9]{2})$', '$1:$2')))
{%- endmacro %}

{% macro spark__utc_now() -%}
    current_timestamp()
{%- endmacro %}

{% macro spark__day_series(first_day, last_day) -%}
    explode(sequence(date '{{ first_day }}', date '{{ last_day }}' - interval 1 day, interval 1 day))
{%- endmacro %}

{% macro spark__partition_column(column) -%}
    {{ return(column) }}
{%- endmacro %}

{% macro spark__selective_filter(relation, condition) -%}
    {{ condition }}
{%- endmacro %}

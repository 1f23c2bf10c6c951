{# The log of changed days: which days of a fact changed (of `fct_billed_messages` the days of the bill), each under an increasing
   number. Everything that is made from the facts (a daily mart, the published file, Parquet, PostgreSQL, the TSVs) remembers up to
   which number it has followed, and takes what is behind it, however it was written: a run of the job, a model materialised alone,
   `dbt build` by hand.

   A day stands once per fact, under the number of its latest change, so the log never outgrows the calendar. #}

{% macro newest_change_number() -%}
    (select coalesce(max(changed_days.change_number), 0) from {{ source('state', 'changed_days') }} as changed_days)
{%- endmacro %}

{# Log the days of a query with the column `session_start_date`. #}
{% macro log_changed_days(fact, days) -%}
    {{ return(adapter.dispatch('log_changed_days', 'conversation_starts')(fact, days)) }}
{%- endmacro %}

{# A fact that was built whole has not passed through its strategy: all its days changed, and those it had before. #}
{% macro log_all_days_changed(day='session_start_date') -%}
    {%- if execute and not is_incremental() -%}
    {{ log_changed_days(this,
        'select ' ~ day ~ ' as session_start_date from ' ~ this ~ ' union select session_start_date from ' ~ source('state', 'changed_days')
        ~ " where fact = '" ~ this.identifier ~ "'"
    ) }}
    {%- endif -%}
    {{ forget_what_was_read_often() }}
{%- endmacro %}

{# Up to which change a consumer has followed the log. #}
{% macro change_followed(consumer) -%}
    (
        select coalesce(max(watermarks.change_number), 0)
        from {{ source('state', 'watermarks') }} as watermarks
        where watermarks.consumer = '{{ consumer }}'
    )
{%- endmacro %}

{# The report days that changed after what a model has followed; a model without a watermark has followed nothing. #}
{% macro days_to_replace(consumer) -%}
    select changed_days.session_start_date
    from {{ source('state', 'changed_days') }} as changed_days
    where
        changed_days.fact in ('{{ facts() | join("', '") }}')
        and changed_days.change_number > {{ change_followed(consumer.identifier) }}
{%- endmacro %}

{% macro and_day_changed() -%}
    {%- if is_incremental() -%}
    and session_start_date in ({{ days_to_replace(this) }})
    {%- endif -%}
{%- endmacro %}

{# The consumer, by default the model, has followed every change that was logged before it. #}
{% macro move_watermark(consumer=none) -%}
    {%- if execute -%}
    {{ adapter.dispatch('move_watermark', 'conversation_starts')(consumer or this.identifier) }}
    {%- endif -%}
{%- endmacro %}

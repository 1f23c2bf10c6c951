{# The log of changed days: which days of a fact changed, each with an increasing change number. For `fct_billed_messages`, these are days
   of the bill. Every consumer of the facts (daily marts, the published file, Parquet, PostgreSQL, the TSVs) remembers the last number that
   it has processed, and processes all later changes, whatever wrote them: a run of the job, a single materialised model, or `dbt build` by
   hand.

   On DuckDB, the log has one row per fact and day, with the number of its latest change, so it grows only with the calendar. #}

{% macro newest_change_number() -%}
    (select coalesce(max(changed_days.change_number), 0) from {{ source('state', 'changed_days') }} as changed_days)
{%- endmacro %}

{# Log the days of a query with the column `session_start_date`. #}
{% macro log_changed_days(fact, days) -%}
    {{ return(adapter.dispatch('log_changed_days', 'conversation_starts')(fact, days)) }}
{%- endmacro %}

{# A fact that was built in full has not passed through its incremental strategy: all its days changed, including the days that it had
   before. #}
{% macro log_all_days_changed(day='session_start_date') -%}
    {%- if execute and not is_incremental() -%}
    {{ log_changed_days(this,
        'select ' ~ day ~ ' as session_start_date from ' ~ this ~ ' union select session_start_date from ' ~ source('state', 'changed_days')
        ~ " where fact = '" ~ this.identifier ~ "'"
    ) }}
    {%- endif -%}
    {{ drop_materialized_ctes() }}
{%- endmacro %}

{# The number of the last change that a consumer has processed. #}
{% macro watermark_of(consumer) -%}
    (
        select coalesce(max(watermarks.change_number), 0)
        from {{ source('state', 'watermarks') }} as watermarks
        where watermarks.consumer = '{{ consumer }}'
    )
{%- endmacro %}

{# The report days that changed after a model's watermark. A model without a watermark has processed nothing. #}
{% macro days_after_watermark(consumer) -%}
    select changed_days.session_start_date
    from {{ source('state', 'changed_days') }} as changed_days
    where
        changed_days.fact in ('{{ facts() | join("', '") }}')
        and changed_days.change_number > {{ watermark_of(consumer.identifier) }}
{%- endmacro %}

{% macro and_day_changed() -%}
    {%- if is_incremental() -%}
    and session_start_date in ({{ days_after_watermark(this) }})
    {%- endif -%}
{%- endmacro %}

{# Move the watermark of a consumer, by default the model, to the newest logged change. #}
{% macro move_watermark(consumer=none) -%}
    {%- if execute -%}
    {{ adapter.dispatch('move_watermark', 'conversation_starts')(consumer or this.identifier) }}
    {%- endif -%}
{%- endmacro %}

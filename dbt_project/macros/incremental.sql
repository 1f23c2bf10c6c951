{# How a run finds its work. Two watermarks, both on load time and never on event time:

   - a state model (sends, statuses, inbound messages) merges the loads that it has not seen itself:
     `loads_not_merged`;
   - everything after it recomputes the people touched since the last build that passed every
     check: `built_through_load_id`. A build that failed or was killed moves nothing, so the next one
     does its work again. #}

{% macro loads_not_merged(load_id) -%}
    {%- if is_incremental() -%}
    where {{ load_id }} > (select coalesce(max(last_load_id), 0) from {{ this }})
    {%- endif -%}
{%- endmacro %}

{# What a state model chooses from: the new rows, and those that it holds already of the same keys. #}
{% macro new_and_known_rows(new_rows, columns, key) -%}
    select {{ columns | join(', ') }}, 1 as copies, load_id as last_load_id
    from {{ new_rows }}
    {% if is_incremental() %}
    union all
    select {{ columns | join(', ') }}, copies, last_load_id
    from {{ this }}
    where {{ holds_for_few(this, key ~ ' in (select new_keys.' ~ key ~ ' from ' ~ new_rows ~ ' as new_keys)') }}
    {% endif %}
{%- endmacro %}

{% macro built_through_load_id() -%}
    {%- set builds = source('state', 'builds') -%}
    {#- `dbt compile` and `dbt docs generate` work before anything has landed. -#}
    {%- if execute and not flags.FULL_REFRESH and adapter.get_relation(builds.database, builds.schema, builds.identifier) is not none -%}
        {%- set watermark = run_query('select coalesce(max(through_load_id), 0) from ' ~ builds ~ ' where finished_at is not null') -%}
        {{ return(watermark.columns[0].values()[0] | int) }}
    {%- endif -%}
    {{ return(0) }}
{%- endmacro %}

{# The newest load there is: what this build's changes are stamped with. #}
{% macro newest_load_id() -%}
    (select coalesce(max(landed_files.load_id), 0) from {{ source('raw', 'landed_files') }} as landed_files)
{%- endmacro %}

{# Whether a card has landed since the last finished build: then everything billed is priced once more. #}
{% macro rates_changed(rates) -%}
    {%- if execute -%}
        {%- set new_rates = run_query('select count(*) from ' ~ rates ~ ' as rates where ' ~ loads_not_built('rates.load_id')) -%}
        {{ return(new_rates.columns[0].values()[0] > 0) }}
    {%- endif -%}
    {{ return(false) }}
{%- endmacro %}

{# Loads that came after the last finished build; all of them when there is nothing to build upon. #}
{% macro loads_not_built(load_id) -%}
    {{ load_id }} > {{ built_through_load_id() }}
{%- endmacro %}

{# The identifier is one of a person to recompute; every person is when there is nothing to build upon. #}
{% macro is_to_recompute(identifier='contact_identifier') -%}
    {%- set people = ref('int_people_to_recompute') -%}
    {%- if built_through_load_id() > 0 -%}
    {{ identifier }} in (select people_to_recompute.identifier from {{ people }} as people_to_recompute)
    {%- else -%}
    true
    {%- endif -%}
{%- endmacro %}

{# What happened to a person at a time changes nothing that is older than an answer may be: sessions follow from what came before, and an
   answer belongs to a notification of the last days or to the one it quotes, which is news itself. A day more costs little. Null stands
   for all time, also where the result would lie before the year 1, which Python's times do not reach. #}
{% macro first_time_that_news_change(news_at) -%}
    case when {{ news_at }} > timestamp '0002-01-01 00:00:00' then {{ news_at }} - interval '{{ var('reply_horizon_days') + 1 }}' day end
{%- endmacro %}

{# The earliest of some times from which on news change something; null, which is all time, where one of them is. #}
{% macro earliest_of_news(news_from) -%}
    case when count({{ news_from }}) = count(*) then min({{ news_from }}) end
{%- endmacro %}

{# Whether news can change a row of the person to recompute that was sent at a time. #}
{% macro is_after_news(sent_at, news_from) -%}
    coalesce({{ sent_at }} >= {{ news_from }}, true)
{%- endmacro %}

{# The order in which a fact is written whole, so that a scan of some days skips the row groups of all others: publication and
   exports read day by day, and without it each of them reads the fact once for every day (1M sends: 54 CPU seconds instead of 20).
   What increments add is of few days. #}
{% macro in_day_order(day) -%}
    {%- if not is_incremental() -%}
    order by {{ day }}
    {%- endif -%}
{%- endmacro %}

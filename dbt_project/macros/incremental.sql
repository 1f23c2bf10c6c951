{# How a run finds its work. There are two watermarks, both on load time and never on event time:

   - A state model (sends, statuses, inbound messages) merges the loads that it has not merged yet: `loads_not_merged`.
   - Every later model recomputes the people touched since the last build that passed every check: `built_through_load_id`. A build that
     failed or was killed does not move it, so the next build repeats its work. #}

{% macro loads_not_merged(load_id) -%}
    {%- if is_incremental() -%}
    {{ load_id }} > (select coalesce(max(last_load_id), 0) from {{ this }})
    {%- else -%}
    true
    {%- endif -%}
{%- endmacro %}

{# The candidates of a state model: the new rows, and its own rows with the same keys. #}
{% macro new_and_known_rows(new_rows, columns, key) -%}
    select {{ columns | join(', ') }}, 1 as copies, load_id as last_load_id
    from {{ new_rows }}
    {% if is_incremental() %}
    union all
    select {{ columns | join(', ') }}, copies, last_load_id
    from {{ this }}
    where {{ selective_filter(this, key ~ ' in (select new_keys.' ~ key ~ ' from ' ~ new_rows ~ ' as new_keys)') }}
    {% endif %}
{%- endmacro %}

{% macro built_through_load_id() -%}
    {%- set builds = source('state', 'builds') -%}
    {#- `dbt compile` and `dbt docs generate` must work before anything has landed. -#}
    {%- if execute and not flags.FULL_REFRESH and adapter.get_relation(builds.database, builds.schema, builds.identifier) is not none -%}
        {%- set watermark = run_query('select coalesce(max(through_load_id), 0) from ' ~ builds ~ ' where finished_at is not null') -%}
        {{ return(watermark.columns[0].values()[0] | int) }}
    {%- endif -%}
    {{ return(0) }}
{%- endmacro %}

{# The newest load, with which this build stamps its changes. #}
{% macro newest_load_id() -%}
    (select coalesce(max(landed_files.load_id), 0) from {{ source('raw', 'landed_files') }} as landed_files)
{%- endmacro %}

{# Whether a rate card has landed since the last finished build. If so, all billed messages are priced again. #}
{% macro rates_changed(rates) -%}
    {%- if execute -%}
        {%- set new_rates = run_query('select count(*) from ' ~ rates ~ ' as rates where ' ~ loads_not_built('rates.load_id')) -%}
        {{ return(new_rates.columns[0].values()[0] > 0) }}
    {%- endif -%}
    {{ return(false) }}
{%- endmacro %}

{# Loads after the last finished build; all loads if there is no build to start from. #}
{% macro loads_not_built(load_id) -%}
    {{ load_id }} > {{ built_through_load_id() }}
{%- endmacro %}

{# Whether the identifier belongs to a person to recompute; true for everyone if there is no build to start from. #}
{% macro is_to_recompute(identifier='contact_identifier') -%}
    {%- set people = ref('int_people_to_recompute') -%}
    {%- if built_through_load_id() > 0 -%}
    {{ identifier }} in (select people_to_recompute.identifier from {{ people }} as people_to_recompute)
    {%- else -%}
    true
    {%- endif -%}
{%- endmacro %}

{# The earliest send time that an event at `changed_at` can affect. Sessions depend only on what came before, and a reply belongs to a
   notification of the last `reply_horizon_days` or to the send that it quotes, which counts as changed itself. The extra day costs little.
   Null means all time, also if the result would be before year 1, which Python's times do not support. #}
{% macro earliest_affected_time(changed_at) -%}
    case
        when {{ changed_at }} > timestamp '0002-01-01 00:00:00' then {{ changed_at }} - interval '{{ var('reply_horizon_days') + 1 }}' day
    end
{%- endmacro %}

{# The earliest of several of these times; null (all time) if one of them is null. #}
{% macro earliest_affected(affected_from) -%}
    case when count({{ affected_from }}) = count(*) then min({{ affected_from }}) end
{%- endmacro %}

{# Whether new data can change a row with this send time, of a person to recompute. #}
{% macro is_affected(sent_at, affected_from) -%}
    coalesce({{ sent_at }} >= {{ affected_from }}, true)
{%- endmacro %}

{# The order in which a full build writes a fact, so that a scan of some days skips the row groups of all others. Publication and exports
   read day by day; without this order, each of them reads the fact once for every day (1M sends: 54 CPU seconds instead of 20). Increments
   add rows of few days. #}
{% macro in_day_order(day) -%}
    {%- if not is_incremental() -%}
    order by {{ day }}
    {%- endif -%}
{%- endmacro %}

{# How a run finds its work. Two watermarks, both on load time and never on event time:

   - a state model (sends, statuses, inbound messages) merges the loads it has not seen itself:
     `loads_not_merged`;
   - everything after it recomputes the conversations touched since the last build that passed every
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
    where {{ key }} in (select new_keys.{{ key }} from {{ new_rows }} as new_keys)
    {% endif %}
{%- endmacro %}

{% macro built_through_load_id() -%}
    {%- set builds = source('raw', 'builds') -%}
    {%- if execute and not flags.FULL_REFRESH -%}
        {%- set watermark = run_query('select coalesce(max(through_load_id), 0) from ' ~ builds ~ ' where finished_at is not null') -%}
        {{ return(watermark.columns[0].values()[0] | int) }}
    {%- endif -%}
    {{ return(0) }}
{%- endmacro %}

{# The conversation is a touched one; every one is when there is nothing to build upon. #}
{% macro is_touched() -%}
    {%- set touched = ref('int_conversations_touched') -%}
    {%- if built_through_load_id() > 0 -%}
    conversation_key in (select touched.conversation_key from {{ touched }} as touched)
    {%- else -%}
    true
    {%- endif -%}
{%- endmacro %}

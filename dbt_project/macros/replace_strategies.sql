{# Incremental strategies of the marts. They replace whole entities, so that no part of an old result stays behind.

   `replace_people` replaces the rows of the people to recompute. Rows that did not change stay untouched: a late read receipt recomputes
   all threads of a person but changes one day. `unique_key` identifies a row. A row's `person_id` is always an identifier of its person, so
   the list of identifiers to recompute finds the old rows, too. The days of inserted and deleted rows are logged (changed_days.sql).

   `replace_changes_of_people` does the same, except for rows that are too old for new data to change; the model leaves them out as well
   (`may_change`). With two months of history, a person has eight times as many rows as in the days that can change, and the factor
   grows. #}

{% macro get_incremental_replace_people_sql(arg_dict) -%}
    {{ return(adapter.dispatch('replace_people_sql', 'conversation_starts')(arg_dict)) }}
{%- endmacro %}

{% macro has_person_to_recompute() -%}
    person_id in (select people_to_recompute.identifier from {{ ref('int_people_to_recompute') }} as people_to_recompute)
{%- endmacro %}

{% macro get_incremental_replace_changes_of_people_sql(arg_dict) -%}
    {{ return(adapter.dispatch('replace_changes_of_people_sql', 'conversation_starts')(arg_dict)) }}
{%- endmacro %}

{# `replace_messages` replaces the rows of the recomputed messages, except rows that did not change. #}

{% macro get_incremental_replace_messages_sql(arg_dict) -%}
    {{ return(adapter.dispatch('replace_messages_sql', 'conversation_starts')(arg_dict)) }}
{%- endmacro %}

{% macro is_recomputed_message(arg_dict) -%}
    {{ arg_dict['unique_key'] }} in (select recomputed.{{ arg_dict['unique_key'] }} from {{ arg_dict['temp_relation'] }} as recomputed)
{%- endmacro %}

{# The day under which a billed message is logged and published. A message without a billed date gets the first possible day, on which no
   time of a record falls (`UNDATED` in `orchestration/transform/builds.py`). #}
{% macro billed_day() -%}
    coalesce(billed_date, date '0001-01-01')
{%- endmacro %}

{# `replace_days` replaces the days that changed after the model's watermark. #}
{% macro get_incremental_replace_days_sql(arg_dict) -%}
    {{ return(adapter.dispatch('replace_days_sql', 'conversation_starts')(arg_dict)) }}
{%- endmacro %}

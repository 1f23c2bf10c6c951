{# Incremental strategies of the marts. They replace whole entities, so that nothing of an old result stays behind.

   `replace_people`: the rows of the people to recompute are replaced by their new ones. Rows that came out as before stay
   untouched: a late read receipt re-enters all threads of a person but changes one day. `unique_key` names a row; `person_id` of a
   row is always an identifier of its person, so that the list of identifiers to recompute finds the old rows, too.
   The days of rows that went or came are logged (changed_days.sql).

   `replace_news_of_people`: the same without the rows that are too old for the news to change them, which the model leaves out as
   well (`has_news`): a person has eight times the rows of those days on two months of history, and ever more. #}

{% macro get_incremental_replace_people_sql(arg_dict) -%}
    {{ return(adapter.dispatch('replace_people_sql', 'conversation_starts')(arg_dict)) }}
{%- endmacro %}

{% macro is_of_people_to_recompute() -%}
    person_id in (select people_to_recompute.identifier from {{ ref('int_people_to_recompute') }} as people_to_recompute)
{%- endmacro %}

{% macro get_incremental_replace_news_of_people_sql(arg_dict) -%}
    {{ return(adapter.dispatch('replace_news_of_people_sql', 'conversation_starts')(arg_dict)) }}
{%- endmacro %}

{# `replace_messages`: the rows that were recomputed replace those of the same messages, unless they came out as before. #}

{% macro get_incremental_replace_messages_sql(arg_dict) -%}
    {{ return(adapter.dispatch('replace_messages_sql', 'conversation_starts')(arg_dict)) }}
{%- endmacro %}

{% macro is_of_recomputed_messages(arg_dict) -%}
    {{ arg_dict['unique_key'] }} in (select recomputed.{{ arg_dict['unique_key'] }} from {{ arg_dict['temp_relation'] }} as recomputed)
{%- endmacro %}

{# The day under which a billed message is logged and published: one without a day of the bill has the first day there is, which
   no time of a record falls on (`UNDATED` in `orchestration/transform/builds.py`). #}
{% macro billed_day() -%}
    coalesce(billed_date, date '0001-01-01')
{%- endmacro %}

{# `replace_days`: the days that changed since the model last followed the log are replaced. #}
{% macro get_incremental_replace_days_sql(arg_dict) -%}
    {{ return(adapter.dispatch('replace_days_sql', 'conversation_starts')(arg_dict)) }}
{%- endmacro %}

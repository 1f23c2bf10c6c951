{# Incremental strategies of what the marts show. Both replace whole entities, so that nothing of an old
   answer stays behind. The first also writes down which report days changed: `changed_report_days` is
   what the daily marts, the publication and the exports go by.

   `replace_conversations` leaves rows that came out the same as before untouched: a late read receipt
   re-enters a contact's whole history but changes one day of it. It goes by the place of a row and not by
   its key, because two sessions of Botmaker may tell of one message. #}

{% macro get_incremental_replace_conversations_sql(arg_dict) -%}
    {%- set target = arg_dict['target_relation'] -%}
    {%- set recomputed = arg_dict['temp_relation'] -%}
    {%- set key = arg_dict['unique_key'] -%}
    {%- set columns = arg_dict['dest_columns'] | map(attribute='quoted') | join(', ') -%}
    create or replace temp table rows_before as
    select rowid as place, {{ key }} as row_id, session_start_date, {{ row_fingerprint(columns) }} as fingerprint
    from {{ target }} semi join {{ ref('int_conversations_touched') }} using (channel_id, contact_id);

    create or replace temp table rows_after as
    select rowid as place, {{ key }} as row_id, session_start_date, {{ row_fingerprint(columns) }} as fingerprint
    from {{ recomputed }};

    create or replace temp table rows_gone as
    select place, session_start_date from rows_before anti join rows_after using (row_id, fingerprint);

    create or replace temp table rows_come as
    select place, session_start_date from rows_after anti join rows_before using (row_id, fingerprint);

    {{ note_changed_days(target, 'select session_start_date from rows_gone union select session_start_date from rows_come') }}

    delete from {{ target }} where rowid in (select place from rows_gone);
    insert into {{ target }} ({{ columns }})
    select {{ columns }} from {{ recomputed }} where rowid in (select place from rows_come);

    drop table rows_before;
    drop table rows_after;
    drop table rows_gone;
    drop table rows_come;
{%- endmacro %}

{% macro get_incremental_replace_days_sql(arg_dict) -%}
    {%- set target = arg_dict['target_relation'] -%}
    {%- set columns = arg_dict['dest_columns'] | map(attribute='quoted') | join(', ') -%}
    delete from {{ target }} where session_start_date in ({{ days_changed_since_last_build() }});
    insert into {{ target }} ({{ columns }}) select {{ columns }} from {{ arg_dict['temp_relation'] }};
{%- endmacro %}

{% macro changed_report_days() -%}
    {{ return(api.Relation.create(database=source('raw', 'builds').database, schema='intermediate', identifier='changed_report_days')) }}
{%- endmacro %}

{% macro create_changed_report_days() -%}
    create schema if not exists intermediate;
    create {{ 'or replace table' if flags.FULL_REFRESH else 'table if not exists' }} {{ changed_report_days() }} (model varchar, report_date date, build_id bigint);
{%- endmacro %}

{% macro note_changed_days(model, days) -%}
    create or replace temp table days_changed as {{ days }};
    delete from {{ changed_report_days() }}
    where model = '{{ model.identifier }}' and report_date in (select session_start_date from days_changed);
    insert into {{ changed_report_days() }}
    select '{{ model.identifier }}', session_start_date, (select coalesce(max(build_id), 0) from {{ source('raw', 'builds') }})
    from days_changed;
    drop table days_changed;
{%- endmacro %}

{# A model built from nothing has not passed through a strategy: all its days are new. #}
{% macro note_new_days() -%}
    {%- if execute -%}
    {{ note_changed_days(this,
        'select distinct session_start_date from ' ~ this
        ~ ('' if flags.FULL_REFRESH else ' where session_start_date not in (select report_date from ' ~ changed_report_days() ~ " where model = '" ~ this.identifier ~ "')")
    ) }}
    {%- endif -%}
{%- endmacro %}

{% macro days_changed_since_last_build() -%}
    select report_date
    from {{ changed_report_days() }}
    where build_id > (select coalesce(max(build_id), 0) from {{ source('raw', 'builds') }} where finished_at is not null)
{%- endmacro %}

{% macro where_day_changed() -%}
    {%- if is_incremental() -%}
    and session_start_date in ({{ days_changed_since_last_build() }})
    {%- endif -%}
{%- endmacro %}

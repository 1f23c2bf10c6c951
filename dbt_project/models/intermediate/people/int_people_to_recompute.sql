{% set built_through = built_through_load_id() %}

-- Some of these are read only if there is a build to start from.
-- noqa: disable=ST03
-- State is read in place and not through import CTEs: if a query reads a CTE twice, DuckDB keeps it in memory as a whole.
with statuses as (

    select * from {{ ref('int_statuses_merged') }}

),

people as (

    select * from {{ ref('int_people_identified') }}

),

lines_identified as (

    select * from {{ ref('int_lines_identified') }}

),

botmaker_sessions as (

    select * from {{ ref('int_botmaker_sessions_deduplicated') }}

),

botmaker_sent_results as (

    select * from {{ ref('int_botmaker_sent_results_merged') }}

),

new_sends as (

    select message_key, contact_identifier, sent_at
    from {{ ref('int_sends_deduplicated') }}
    where last_load_id > {{ built_through }}

),

-- If another copy counts now, both copies are here, each with the send that it quotes. The copy that counted before is no earlier than the
-- earliest copy with the same contact and quote, which is the row that remains.
new_messages as (

    select message_key, quoted_message_key, contact_identifier, happened_at
    from {{ ref('int_inbound_messages_deduplicated') }}
    where last_load_id > {{ built_through }}

),

-- Events and messages come with the session's item, so its load is also theirs.
new_botmaker_sessions as (

    select contact_identifier
    from botmaker_sessions
    where last_load_id > {{ built_through }}

),

{% if built_through > 0 %}
sends_with_changes as (

    select message_key from statuses where last_load_id > {{ built_through }}
    union all
    select quoted_message_key as message_key from new_messages where quoted_message_key is not null

),

affected_sends as (

    select contact_identifier, sent_at
    from {{ ref('int_sends_deduplicated') }}
    where {{ selective_filter(
        ref('int_sends_deduplicated'), 'message_key in (select sends_with_changes.message_key from sends_with_changes)'
    ) }}

),

-- A send that was not known when it was quoted now takes the reply from another send.
quoting_messages as (

    select contact_identifier, happened_at
    from {{ ref('int_inbound_messages_deduplicated') }}
    where quoted_message_key in (select new_sends.message_key from new_sends)

),

-- A message that turns out to be a copy of a send is no longer a person's message.
echoes as (

    select contact_identifier
    from {{ ref('int_inbound_messages_deduplicated') }}
    where message_key in (select new_sends.message_key from new_sends)

),

changed_lines as (

    select given_channel_id, given_line_number
    from lines_identified
    where changed_load_id > {{ built_through }}

),

people_of_lines as (

    {% for records in ['int_sends_deduplicated', 'int_inbound_messages_deduplicated'] %}
    select records.contact_identifier
    from {{ ref(records) }} as records
    inner join changed_lines
        on coalesce(records.given_channel_id, '') = changed_lines.given_channel_id
        and coalesce(records.given_line_number, '') = changed_lines.given_line_number
    {{ 'union all' if not loop.last }}
    {% endfor %}

),

affected_botmaker_sessions as (

    select contact_identifier
    from botmaker_sessions
    where
        session_key in (select session_key from botmaker_sent_results where last_load_id > {{ built_through }})
        -- A message of the logs with a session's id takes the session's place (int_botmaker_sessions_started).
        or {{ key_hash(['session_id']) }} in (select new_sends.message_key from new_sends)
        or {{ key_hash(['session_id']) }} in (select new_messages.message_key from new_messages)
        or exists (
            select 1
            from changed_lines
            where changed_lines.given_channel_id = botmaker_sessions.given_channel_id
        )

),

regrouped_people as (

    select identifier as contact_identifier
    from people
    where regrouped_load_id > {{ built_through }}

),
{% endif %}

changes as (

    select contact_identifier, sent_at as changed_at from new_sends
    union all
    select contact_identifier, happened_at as changed_at from new_messages
    {% if built_through > 0 %}
    union all
    select contact_identifier, sent_at as changed_at from affected_sends
    union all
    select contact_identifier, happened_at as changed_at from quoting_messages
    {% endif %}

),

untimed_changes as (

    select contact_identifier from new_botmaker_sessions
    {% if built_through > 0 %}
    union all
    select contact_identifier from echoes
    union all
    select contact_identifier from people_of_lines
    union all
    select contact_identifier from affected_botmaker_sessions
    union all
    select contact_identifier from regrouped_people
    {% endif %}

),

affected_identifiers as (

    select contact_identifier, {{ earliest_affected_time('min(changed_at)') }} as affected_from
    from changes
    group by contact_identifier
    union all
    select distinct contact_identifier, cast(null as {{ dbt.type_timestamp() }}) as affected_from
    from untimed_changes

),

identifiers_of_people as (

    select
        affected_identifiers.contact_identifier as identifier,
        coalesce(people.person_id, affected_identifiers.contact_identifier) as person_id,
        affected_identifiers.affected_from
    from affected_identifiers
    left join people
        on affected_identifiers.contact_identifier = people.identifier

),

-- A person's Botmaker sessions are recomputed as a whole.
people_of_botmaker as (

    select distinct identifiers_of_people.person_id
    from identifiers_of_people
    left join people
        on identifiers_of_people.person_id = people.person_id
    where
        coalesce(people.identifier, identifiers_of_people.identifier) in (
            select botmaker_sessions.contact_identifier from botmaker_sessions
        )

),

affected_people as (

    select
        identifiers_of_people.person_id,
        {{
            earliest_affected('case when people_of_botmaker.person_id is null then identifiers_of_people.affected_from end')
        }} as affected_from
    from identifiers_of_people
    left join people_of_botmaker
        on identifiers_of_people.person_id = people_of_botmaker.person_id
    group by identifiers_of_people.person_id

),

all_identifiers as (

    select identifier, person_id from identifiers_of_people
    union
    select person_id as identifier, person_id from affected_people
    union
    select people.identifier, people.person_id
    from people
    inner join affected_people
        on people.person_id = affected_people.person_id

),

final as (

    select all_identifiers.identifier, {{ earliest_affected('affected_people.affected_from') }} as affected_from
    from all_identifiers
    inner join affected_people
        on all_identifiers.person_id = affected_people.person_id
    group by all_identifiers.identifier

)

select * from final

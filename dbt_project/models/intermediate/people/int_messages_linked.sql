{{ config(
    materialized='incremental',
    unique_key='message_key',
    incremental_strategy='delete+insert'
) }}

-- Some of these are read only if there is a build to start from.
-- noqa: disable=ST03
-- State is read in place and not through import CTEs: if a query reads a CTE twice, DuckDB keeps it in memory as a whole.
with new_sends as (

    select message_key from {{ ref('int_sends_deduplicated') }} where {{ loads_not_built('last_load_id') }}

),

changed_keys as (

    select message_key from new_sends
    union
    select message_key from {{ ref('int_message_recipients') }} where {{ loads_not_built('first_load_id') }}
    union
    select quoted_message_key as message_key from {{ ref('int_inbound_messages_deduplicated') }} where {{ loads_not_built('last_load_id') }}
    union
    -- A message that turns out to be a copy of a send no longer quotes anything.
    select quoted_message_key as message_key
    from {{ ref('int_inbound_messages_deduplicated') }}
    where message_key in (select new_sends.message_key from new_sends)

),

sends_with_changes as (

    select message_key, contact_identifier
    from {{ ref('int_sends_deduplicated') }}
    where is_kept {{
        'and ' ~ selective_filter(
            ref('int_sends_deduplicated'), 'message_key in (select changed_keys.message_key from changed_keys)'
        ) if built_through_load_id() > 0
    }}

),

quoting_people as (

    select quoted_message_key as message_key, contact_identifier as identifier
    from {{ ref('int_inbound_messages_deduplicated') }} as inbound_messages
    where
        is_kept
        and not is_in_group
        and quoted_message_key in (select sends_with_changes.message_key from sends_with_changes)
        and not exists (
            select 1
            from {{ ref('int_sends_deduplicated') }} as sends
            where sends.message_key = inbound_messages.message_key
        )

),

reached_people as (

    select message_key, identifier
    from {{ ref('int_message_recipients') }}
    {% if built_through_load_id() > 0 %}
    where
        {{ selective_filter(
            ref('int_message_recipients'), 'message_key in (select sends_with_changes.message_key from sends_with_changes)'
        ) }}
    {% endif %}
    union all
    select message_key, identifier from quoting_people

),

links as (

    select distinct
        sends_with_changes.message_key,
        least(sends_with_changes.contact_identifier, reached_people.identifier) as identifier_1,
        greatest(sends_with_changes.contact_identifier, reached_people.identifier) as identifier_2
    from sends_with_changes
    inner join reached_people
        on sends_with_changes.message_key = reached_people.message_key
        and sends_with_changes.contact_identifier <> reached_people.identifier

),

{% if is_incremental() %}
known_links as (

    select message_key, identifier_1, identifier_2
    from {{ this }}
    where message_key in (select sends_with_changes.message_key from sends_with_changes)

),

previous_identifiers as (

    select message_key, identifier_1 as identifier from known_links
    union
    select message_key, identifier_2 as identifier from known_links where identifier_2 is not null

),

current_identifiers as (

    select message_key, identifier_1 as identifier from links
    union
    select message_key, identifier_2 as identifier from links

),

-- Each identifier that a message no longer links keeps a row without a second identifier, so that its people are regrouped, also by a later
-- run if this one stops after this model.
removed_links as (

    select previous_identifiers.message_key, previous_identifiers.identifier as identifier_1
    from previous_identifiers
    where not exists (
        select 1
        from current_identifiers
        where
            current_identifiers.message_key = previous_identifiers.message_key
            and current_identifiers.identifier = previous_identifiers.identifier
    )

),
{% endif %}

final as (

    select message_key, identifier_1, identifier_2, {{ newest_load_id() }} as last_load_id
    from links
    {% if is_incremental() %}
    union all
    select message_key, identifier_1, null as identifier_2, {{ newest_load_id() }} as last_load_id
    from removed_links
    {% endif %}

)

select * from final

-- Some of these are read only if there is a build to start from.
-- noqa: disable=ST03
-- State is read in place and not through import CTEs: if a query reads a CTE twice, DuckDB keeps it in memory as a whole.
with inbound_messages as (

    select * from {{ ref('int_inbound_messages_deduplicated') }}

),

inbound_message_types as (

    select * from {{ ref('inbound_message_types') }}

),

people as (

    select * from {{ ref('int_people_identified') }}

),

lines_identified as (

    select * from {{ ref('int_lines_identified') }}

),

sends_to_recompute as (

    select message_key from {{ ref('int_sends_deduplicated') }} where is_kept and {{ is_to_recompute() }}

),

-- What the people to recompute wrote, and what quotes a send to them: a message in a group may quote it without being linked to them.
messages_to_classify as (

    {% if built_through_load_id() > 0 %}
    select *
    from inbound_messages
    where
        is_kept
        and (
            {{ is_to_recompute() }}
            or quoted_message_key in (select sends_to_recompute.message_key from sends_to_recompute)
        )
    {% else %}
    select * from inbound_messages where is_kept
    {% endif %}

),

-- An inbound message with the id of a send is an echo of that send (contract, section 4.1).
echoes as (

    select message_key
    from {{ ref('int_sends_deduplicated') }}
    where is_kept and message_key in (select messages_to_classify.message_key from messages_to_classify)

),

messages_of_people as (

    select messages_to_classify.*
    from messages_to_classify
    where not exists (select 1 from echoes where echoes.message_key = messages_to_classify.message_key)

),

known_quotes as (

    select messages_of_people.message_key
    from messages_of_people
    where exists (
        select 1
        from {{ ref('int_sends_deduplicated') }} as sends
        where sends.is_kept and sends.message_key = messages_of_people.quoted_message_key
    )

),

messages_in_threads as (

    select
        messages_of_people.*,
        lines_identified.channel_id,
        coalesce(people.person_id, messages_of_people.contact_identifier) as person_id,
        known_quotes.message_key is not null as is_known_quote
    from messages_of_people
    inner join lines_identified
        on coalesce(messages_of_people.given_channel_id, '') = lines_identified.given_channel_id
        and coalesce(messages_of_people.given_line_number, '') = lines_identified.given_line_number
    left join people
        on messages_of_people.contact_identifier = people.identifier
    left join known_quotes
        on messages_of_people.message_key = known_quotes.message_key

),

final as (

    select
        messages_in_threads.message_key,
        messages_in_threads.quoted_message_key,
        messages_in_threads.message_id,
        {{ key_hash(['messages_in_threads.channel_id', 'messages_in_threads.person_id']) }} as thread_key,
        messages_in_threads.channel_id,
        messages_in_threads.person_id,
        messages_in_threads.given_contact_id,
        messages_in_threads.contact_identifier,
        messages_in_threads.referral_source_type,
        messages_in_threads.has_referral,
        coalesce(messages_in_threads.message_type = 'unavailable', false) as is_unavailable,
        messages_in_threads.is_known_quote,
        {{ meets_condition('inbound_message_types.activity', 'messages_in_threads') }} as is_activity,
        {{ meets_condition('inbound_message_types.answer', 'messages_in_threads') }} as is_answer,
        messages_in_threads.happened_at
    from messages_in_threads
    left join inbound_message_types
        on messages_in_threads.message_type = inbound_message_types.message_type

)

select * from final

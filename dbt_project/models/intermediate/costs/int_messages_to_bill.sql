{% set built_through = built_through_load_id() %}

-- Some of these are read only if there is a build to start from; the linter mistakes a field of a price for a column of a table.
-- noqa: disable=ST03,RF01
-- State is read in place and not through import CTEs: if a query reads a CTE twice, DuckDB keeps it in memory as a whole.
with sends_with_status as (

    select * from {{ ref('int_sends_with_status') }}

),

activities as (

    select * from {{ ref('int_activities_sessionized') }}

),

people as (

    select * from {{ ref('int_people_identified') }}

),

people_to_recompute as (

    select * from {{ ref('int_people_to_recompute') }}

),

lines_identified as (

    select * from {{ ref('int_lines_identified') }}

),

lines_named as (

    select * from {{ ref('int_lines_named') }}

),

calling_codes as (

    select * from {{ ref('calling_codes') }}

),

lines_by_channel_id as (

    select given_channel_id, min(channel_id) as channel_id, max(changed_load_id) as changed_load_id
    from lines_identified
    where given_channel_id <> ''
    group by given_channel_id

),

lines_by_number as (

    select given_line_number, channel_id, changed_load_id
    from lines_identified
    where given_channel_id = ''

),

{% if built_through > 0 %}
affected_statuses as (

    select message_key
    from {{ ref('int_statuses_merged') }}
    where
        message_id is not null
        and (
            last_load_id > {{ built_through }}
            or recipient_identifier in (select people_to_recompute.identifier from people_to_recompute)
            or user_id in (select people_to_recompute.identifier from people_to_recompute)
            or given_channel_id in (
                select lines_by_channel_id.given_channel_id from lines_by_channel_id where lines_by_channel_id.changed_load_id > {{ built_through }}
            )
            or given_line_number in (
                select lines_by_number.given_line_number from lines_by_number where lines_by_number.changed_load_id > {{ built_through }}
            )
        )

),

-- Statuses that arrived before the send of their message have its id, too.
sends_of_statuses as (

    select message_key
    from {{ ref('int_sends_deduplicated') }}
    where is_kept and message_key in (select affected_statuses.message_key from affected_statuses)

),

-- A message with a send takes its line and person from the send, and a change of either is a change of the send. Recomputing the message
-- without the send would lose the session that it started, which is recomputed only if the send changes.
affected_messages as (

    select message_key from sends_with_status where may_change
    union
    select affected_statuses.message_key
    from affected_statuses
    where not exists (select 1 from sends_of_statuses where sends_of_statuses.message_key = affected_statuses.message_key)

),
{% endif %}

messages as (

    select *, {{ earliest('read_status_at', 'played_status_at') }} as read_at
    from {{ ref('int_statuses_merged') }}
    {% if built_through > 0 %}
    where
        {{ selective_filter(
            ref('int_statuses_merged'), 'message_key in (select affected_messages.message_key from affected_messages)'
        ) }}
    {% endif %}

),

names_of_sends as (

    select message_key, template_name, notification_name
    from {{ ref('int_sends_deduplicated') }}
    where is_kept {{ 'and message_key in (select affected_messages.message_key from affected_messages)' if built_through > 0 }}

),

messages_identified as (

    select
        messages.*,
        coalesce(sends_with_status.message_id, messages.message_id) as known_message_id,
        coalesce(sends_with_status.channel_id, lines_by_channel_id.channel_id, lines_by_number.channel_id) as channel_id,
        coalesce(
            sends_with_status.person_id, recipients.person_id, messages.recipient_identifier, users.person_id, messages.user_id
        ) as person_id,
        case
            when messages.delivered_price is null then coalesce(messages.read_price, messages.sent_price)
            when messages.delivered_price.said_at > messages.read_price.said_at then messages.delivered_price
            else coalesce(messages.read_price, messages.delivered_price)
        end as price
    from messages
    left join sends_with_status
        on messages.message_key = sends_with_status.message_key
    left join people as recipients
        on messages.recipient_identifier = recipients.identifier
    left join people as users
        on messages.user_id = users.identifier
    left join lines_by_channel_id
        on messages.given_channel_id = lines_by_channel_id.given_channel_id
    left join lines_by_number
        on messages.given_line_number = lines_by_number.given_line_number

),

-- WhatsApp's number of the recipient takes precedence: a send log may contain a national number.
messages_with_number as (

    select
        *,
        case
            when {{ is_number('recipient_identifier') }} then recipient_identifier
            when {{ is_number('person_id') }} then person_id
        end as number,
        case
            when {{ is_user_id('user_id') }} then substr(user_id, 1, 2)
            when {{ is_user_id('person_id') }} then substr(person_id, 1, 2)
        end as country_of_user_id
    from messages_identified

),

first_digits as (

    select distinct substr(number, 1, 7) as first_digits
    from messages_with_number

),

lengths_of_prefixes as (

    select distinct length(prefix) as prefix_length from calling_codes

),

-- Distinct, so that the next step joins on a column: for an expression over both sides, DuckDB compares every pair.
prefixes_of_numbers as (

    select distinct
        first_digits.first_digits,
        substr(first_digits.first_digits, 1, lengths_of_prefixes.prefix_length) as prefix
    from first_digits
    cross join lengths_of_prefixes

),

countries_of_numbers as (

    select
        prefixes_of_numbers.first_digits,
        max_by(calling_codes.country, length(calling_codes.prefix)) as country
    from prefixes_of_numbers
    inner join calling_codes
        on prefixes_of_numbers.prefix = calling_codes.prefix
    group by prefixes_of_numbers.first_digits

),

final as (

    select
        messages_with_number.known_message_id as message_id,
        messages_with_number.channel_id,
        lines_named.line_number,
        messages_with_number.person_id,
        coalesce(countries_of_numbers.country, messages_with_number.country_of_user_id) as market,
        {{ billing_date('coalesce(messages_with_number.delivered_at, messages_with_number.read_at)') }} as billed_date,
        {{ billing_date(earliest('messages_with_number.delivered_at', 'messages_with_number.read_at')) }} as earliest_billed_date,
        messages_with_number.price.model as pricing_model,
        messages_with_number.price.category as pricing_category,
        messages_with_number.price.type as pricing_type,
        coalesce(messages_with_number.delivered_at, messages_with_number.read_at) is not null as is_delivered,
        names_of_sends.template_name,
        names_of_sends.notification_name,
        case
            when activities.is_session_start or activities.is_attempted_start then messages_with_number.known_message_id
        end as session_start_id
    from messages_with_number
    left join countries_of_numbers
        on substr(messages_with_number.number, 1, 7) = countries_of_numbers.first_digits
    left join lines_named
        on messages_with_number.channel_id = lines_named.channel_id
    left join names_of_sends
        on messages_with_number.message_key = names_of_sends.message_key
    left join activities
        on messages_with_number.message_key = activities.message_key
        and activities.is_send

)

select * from final

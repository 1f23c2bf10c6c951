{% set has_previous_build = built_through_load_id() > 0 %}

-- One of these is read only if there is a build to start from.
-- noqa: disable=ST03
with sends as (

    select * from {{ ref('int_sends_deduplicated') }}

),

statuses as (

    select * from {{ ref('int_statuses_merged') }}

),

inbound_messages as (

    select * from {{ ref('int_inbound_messages_classified') }}

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

sends_to_recompute as (

    select
        message_key, message_id, given_channel_id, given_line_number, contact_identifier, sent_at, is_notification, has_error,
        error_code, coalesce(error_details, error_title) as error_detail
    from sends
    where
        {{ is_to_recompute() }}
        and is_kept

),

-- Any inbound message that names a send shows that it arrived, whatever its kind.
quoted_sends as (

    select distinct quoted_message_key as message_key
    from inbound_messages
    where is_known_quote

),

joined_sends as (

    select
        sends_to_recompute.*,
        lines_identified.channel_id,
        coalesce(people.person_id, sends_to_recompute.contact_identifier) as person_id,
        statuses.sent_status_at,
        statuses.delivered_at,
        {{ earliest('statuses.read_status_at', 'statuses.played_status_at') }} as read_at,
        statuses.failed_at,
        statuses.failure_code as failed_code,
        coalesce(statuses.failure_details, statuses.failure_message, statuses.failure_title) as failed_detail,
        quoted_sends.message_key is not null as is_quoted,
        {{
            is_affected('sends_to_recompute.sent_at', 'people_to_recompute.affected_from') if has_previous_build else 'true'
        }} as may_change
    from sends_to_recompute
    inner join lines_identified
        on coalesce(sends_to_recompute.given_channel_id, '') = lines_identified.given_channel_id
        and coalesce(sends_to_recompute.given_line_number, '') = lines_identified.given_line_number
    left join people
        on sends_to_recompute.contact_identifier = people.identifier
    {% if has_previous_build %}
    left join people_to_recompute
        on sends_to_recompute.contact_identifier = people_to_recompute.identifier
    {% endif %}
    left join statuses
        on sends_to_recompute.message_key = statuses.message_key
    left join quoted_sends
        on sends_to_recompute.message_key = quoted_sends.message_key

),

classified_sends as (

    select
        *,
        (has_error or failed_at is not null)
        and delivered_at is null
        and read_at is null
        and not is_quoted as is_not_sent,
        -- An error in the send log has the time of the send; on a tie it comes first.
        has_error and (failed_at is null or sent_at <= failed_at) as was_refused_first
    from joined_sends

),

final as (

    select
        message_key,
        message_id,
        {{ key_hash(['channel_id', 'person_id']) }} as thread_key,
        channel_id,
        person_id,
        sent_at,
        sent_status_at,
        delivered_at,
        read_at,
        failed_at,
        is_notification,
        is_not_sent,
        may_change,
        case when is_not_sent and was_refused_first then error_code when is_not_sent then failed_code end as failure_code,
        case when is_not_sent and was_refused_first then error_detail when is_not_sent then failed_detail end as failure_detail
    from classified_sends

)

select * from final

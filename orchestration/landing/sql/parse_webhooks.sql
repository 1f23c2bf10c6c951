-- The webhook bodies of a batch, as Meta posts them:
-- https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/reference

-- Statuses as columns, and the JSON text of all other items for the statements below. The lists of a change are unnested side by side,
-- together with a list of one element, so that a body without elements keeps a row. Nine of ten items are statuses. What statuses do
-- not have stays JSON text here, because a structure would cost time for every row.
create or replace temp table parsed_statuses as
with readable_lines as (
    select *, readable_json(line) as json
    from lines
),

bodies as (
    select
        file_index,
        record_number,
        line_number,
        coalesce(line, undecodable) as line,
        json,
        undecodable is not null as is_undecodable,
        may_be_lenient(line) as needs_lenient_check,
        try(from_json(
            json,
            '{"entry": [{"changes": [{"field": "VARCHAR", "value": {
                "statuses": [' || status_structure() || '], "messages": ["VARCHAR"], "contacts": [' || contact_structure() || '],
                "metadata": ' || metadata_structure() || ', "message_echoes": "VARCHAR", "standby": "VARCHAR", "user_id_update": "VARCHAR"
            }}]}]}'
        )) as body
    from readable_lines
),

entries as (
    select
        * exclude (body),
        body is null as is_unreadable,
        unnest(body.entry) as entry,
        unnest([true]) as is_first_entry
    from bodies
),

changes as (
    select * exclude (entry), unnest(entry.changes) as change, unnest([true]) as is_first_change
    from entries
),

changes_by_field as (
    select
        * exclude (change),
        change.field as field,
        -- A change without a field is read as Meta's field `messages`.
        coalesce(change.field, 'messages') as effective_field,
        change.value as value,
        case
            when change.field = 'standby' then try(from_json(
                change.value.standby,
                '{
                    "statuses": [' || status_structure() || '], "messages": ["VARCHAR"], "contacts": [' || contact_structure() || '],
                    "metadata": ' || metadata_structure() || ', "message_echoes": "VARCHAR"
                }'
            ))
        end as standby
    from changes
),

lists as (
    select
        * exclude (value, standby),
        coalesce(nullif(value.metadata.phone_number_id, ''), nullif(standby.metadata.phone_number_id, '')) as phone_number_id,
        coalesce(nullif(value.metadata.display_phone_number, ''), nullif(standby.metadata.display_phone_number, '')) as display_phone_number,
        case effective_field when 'messages' then value.statuses when 'standby' then standby.statuses end as statuses,
        case effective_field when 'messages' then value.messages when 'standby' then standby.messages end as messages,
        case effective_field when 'messages' then value.contacts when 'standby' then standby.contacts end as contacts,
        -- Echoes, or the notices of the field `user_id_update`.
        case effective_field
            when 'standby' then json_elements(standby.message_echoes)
            when 'smb_message_echoes' then json_elements(value.message_echoes)
            when 'user_id_update' then coalesce(json_elements(value.user_id_update), [value.user_id_update])
        end as echoes_or_notices
    from changes_by_field
),

items as (
    select
        * exclude (statuses, messages, echoes_or_notices),
        statuses is null as lacks_statuses,
        messages is null as lacks_messages,
        echoes_or_notices is null as lacks_echoes_or_notices,
        -- A null element is lost in the steps below.
        needs_lenient_check
        and (coalesce(list_count(statuses) < len(statuses), false) or coalesce(list_count(messages) < len(messages), false))
        as has_null_item,
        effective_field = 'user_id_update'
        or coalesce(len(statuses), 0) + coalesce(len(messages), 0) + coalesce(len(echoes_or_notices), 0) = 0 as is_without_items,
        unnest(statuses) as status,
        unnest(messages) as message,
        unnest(contacts) as contact,
        unnest(echoes_or_notices) as echo_or_notice,
        unnest([true]) as is_first
    from lists
),

extracted as (
    select
        file_index,
        record_number,
        line_number,
        line,
        json,
        is_undecodable,
        is_unreadable,
        needs_lenient_check,
        has_null_item,
        field,
        -- The row that keeps the text of a body of which another item may be invalid: copies for all items would take 3 GB for a body of a
        -- thousand items and 3 MB, Meta's limits. A key may be written with escapes. Patterns that begin with a literal take a third of the
        -- time of one with alternatives (115 MB: 0.13 s of CPU instead of 0.33).
        is_long_record(line) as is_long,
        coalesce(is_first_entry and is_first_change and is_first, false)
        and (
            is_long or regexp_matches(line, 'messages"\s*:') or regexp_matches(line, 'message_echoes"\s*:') or contains(line, '\u')
        ) as has_text_of_body,
        coalesce(is_first and is_without_items, false) as is_other_kind,
        -- Whether one of the lists may have been of another type, and so was parsed as absent. The colon distinguishes a key from the
        -- field of that name; few lines have both.
        case
            when is_unreadable then false
            when is_without_items then is_first
            when lacks_messages and regexp_matches(line, 'messages"\s*:') then true
            when lacks_statuses and regexp_matches(line, 'statuses"\s*:') then true
            when lacks_echoes_or_notices and effective_field = 'standby' then regexp_matches(line, 'message_echoes"\s*:')
            when lacks_statuses and lacks_messages then true
        end as may_have_mistyped_list,
        phone_number_id,
        display_phone_number,
        status is not null as has_status,
        nullif(status.id, '') as message_id,
        nullif(status.status, '') as status,
        unix_time(status.timestamp) as happened_at,
        nullif(status.recipient_id, '') as recipient_id,
        nullif(status.recipient_user_id, '') as recipient_user_id,
        nullif(status.recipient_parent_user_id, '') as recipient_parent_user_id,
        case
            when status.type = 'payment' then 'status of a payment'
            when status.recipient_type = 'group' or status.recipient_participant_id <> '' or status.recipient_participant_user_id <> ''
                then 'status of a group'
        end as status_other_kind,
        nullif(status.pricing.pricing_model, '') as pricing_model,
        nullif(status.pricing.category, '') as pricing_category,
        nullif(status.pricing.type, '') as pricing_type,
        case status.pricing.billable when 'true' then true when 'false' then false end as pricing_billable,
        status.errors[1].code as error_code,
        status.errors[1].title as error_title,
        status.errors[1].message as error_message,
        status.errors[1].error_data.details as error_details,
        nullif(contact.wa_id, '') as contact_wa_id,
        nullif(contact.user_id, '') as contact_user_id,
        nullif(contact.parent_user_id, '') as contact_parent_user_id,
        message as message_text,
        case when effective_field <> 'user_id_update' then echo_or_notice end as echo_text,
        case when effective_field = 'user_id_update' then echo_or_notice end as notice_text,
        case
            when message is not null and len(contacts) = 1
                then coalesce(nullif(contacts[1].wa_id, ''), nullif(contacts[1].user_id, ''), nullif(contacts[1].parent_user_id, ''))
        end as lone_contact_id
    from items
),

rechecked as (
    select
        *,
        case when needs_lenient_check then lenient_problem_of(without_strings(json)) end as lenient_problem,
        case when may_have_mistyped_list then webhook_list_problem(json) end as list_problem
    from extracted
),

checked as (
    select
        *,
        case
            when is_undecodable then 'not UTF-8'
            when is_unreadable then 'not JSON'
            when lenient_problem is not null then lenient_problem
            -- The body contains nothing that is read: it is of another kind, or has the wrong shape.
            when is_other_kind then coalesce(webhook_shape_problem(json), list_problem)
        end as body_problem,
        case
            when has_null_item then 'statuses or messages: a list with a null'
            when not is_other_kind then list_problem
        end as sibling_list_problem,
        case
            when not has_status or status_other_kind is not null then null
            when message_id is null then 'statuses[].id: missing'
            when is_nested(message_id) then 'statuses[].id: not a string'
            when status is null then 'statuses[].status: missing'
            when is_nested(status) then 'statuses[].status: not a string'
            when is_nested(recipient_id) then 'statuses[].recipient_id: not a string'
            when is_nested(recipient_user_id) then 'statuses[].recipient_user_id: not a string'
            when is_nested(recipient_parent_user_id) then 'statuses[].recipient_parent_user_id: not a string'
            when is_nested(phone_number_id) then 'metadata.phone_number_id: not a string'
            when is_nested(display_phone_number) then 'metadata.display_phone_number: not a string'
            when happened_at is null then 'statuses[].timestamp: missing or not Unix seconds'
        end as status_problem
    from rechecked
)

select
    file_index,
    record_number,
    line_number,
    -- Not even the valid items of such a body land.
    body_problem is not null as is_bad_body,
    coalesce(body_problem, sibling_list_problem || '; ' || status_problem, sibling_list_problem, status_problem) as problem,
    case
        when has_text_of_body or not is_long and coalesce(body_problem, sibling_list_problem, status_problem) is not null then line
    end as record,
    phone_number_id,
    display_phone_number,
    has_status and status_other_kind is null as has_status,
    coalesce(body_problem, status_problem) is null as is_good,
    message_id,
    status,
    happened_at,
    recipient_id,
    recipient_user_id,
    recipient_parent_user_id,
    pricing_model,
    pricing_category,
    pricing_type,
    pricing_billable,
    error_code,
    error_title,
    error_message,
    error_details,
    case when body_problem is null and is_other_kind then coalesce(field, 'nothing inside') when body_problem is null then status_other_kind end as other_kind,
    message_text,
    echo_text,
    notice_text,
    lone_contact_id,
    contact_wa_id,
    contact_user_id,
    contact_parent_user_id
from checked;

create or replace temp table parsed_messages as
with parsed as (
    select
        *,
        try(from_json(message_text, message_structure())) as message
    from parsed_statuses
    where message_text is not null
),

extracted as (
    select
        file_index,
        record_number,
        line_number,
        is_bad_body,
        phone_number_id,
        display_phone_number,
        nullif(message.id, '') as message_id,
        -- In place of some first messages, including those from ads, coexistence posts only that there was a message: Meta's error
        -- 131060, "This message is unavailable". Other messages of this type are of a kind that the API does not support.
        case
            when message.type = 'unsupported' and try_cast(text_or_number_at(message.errors, '$[0].code') as double) = 131060
                then 'unavailable'
            else nullif(message.type, '')
        end as message_type,
        unix_time(message.timestamp) as happened_at,
        coalesce(
            nullif(message.from, ''), nullif(message.from_user_id, ''), nullif(message.from_parent_user_id, ''),
            nullif(message.user_id, ''), nullif(message.parent_user_id, ''), lone_contact_id,
            -- A notice about a person whose number may not be shared has no sender; it contains the new identifiers.
            case when message.type = 'system' then coalesce(new_wa_id(message.system), new_user_id(message.system)) end
        ) as sender_id,
        coalesce(nullif(message.from_user_id, ''), nullif(message.user_id, '')) as sender_user_id,
        coalesce(nullif(message.from_parent_user_id, ''), nullif(message.parent_user_id, '')) as sender_parent_user_id,
        nullif(message.context.id, '') as context_message_id,
        nullif(message.reaction.message_id, '') as reaction_message_id,
        coalesce(message.reaction.emoji, '') <> '' as has_reaction_emoji,
        coalesce(message.group_id, '') <> '' as is_in_group,
        message.referral is not null as has_referral,
        message.referral.source_type as referral_source_type,
        message.referral.source_id as referral_source_id,
        case
            when message.type = 'system' and text_at(message.system, '$.type') in ('user_changed_number', 'user_changed_user_id')
                then message.system
        end as notice_text,
        contact_wa_id,
        contact_user_id,
        contact_parent_user_id
    from parsed
),

checked as (
    select
        *,
        case
            when message_id is null then 'messages[].id: missing'
            when is_nested(message_id) then 'messages[].id: not a string'
            when happened_at is null then 'messages[].timestamp: missing or not Unix seconds'
            when sender_id is null then 'messages[].from: missing'
            when is_nested(sender_id) then 'messages[].from: not a string'
            when is_nested(sender_user_id) then 'messages[].from_user_id: not a string'
            when is_nested(sender_parent_user_id) then 'messages[].from_parent_user_id: not a string'
            when is_nested(message_type) then 'messages[].type: not a string'
            when is_nested(context_message_id) then 'messages[].context.id: not a string'
            when is_nested(reaction_message_id) then 'messages[].reaction.message_id: not a string'
            when phone_number_id is null and not has_digit(display_phone_number) then 'metadata.phone_number_id: missing'
            when is_nested(phone_number_id) then 'metadata.phone_number_id: not a string'
            when is_nested(display_phone_number) then 'metadata.display_phone_number: not a string'
        end as problem
    from extracted
)

select
    *,
    true as has_message,
    not is_bad_body and problem is null as is_good
from checked;

-- In the field `smb_message_echoes`, an echo is one flat object. In standby, its `type` and `to` are in an object `message`. Both forms
-- are read in both places.
create or replace temp table parsed_echoes as
with extracted as (
    select
        file_index,
        record_number,
        line_number,
        is_bad_body,
        phone_number_id,
        display_phone_number,
        text_at(echo_text, '$.id') as message_id,
        either_text_at(echo_text, '$.type', '$.message.type') as message_type,
        unix_time(coalesce(text_or_number_at(echo_text, '$.timestamp'), text_or_number_at(echo_text, '$.message.timestamp'))) as happened_at,
        either_text_at(echo_text, '$.from', '$.message.from') as sender_id,
        coalesce(
            either_text_at(echo_text, '$.to', '$.message.to'),
            either_text_at(echo_text, '$.to_user_id', '$.message.to_user_id'),
            either_text_at(echo_text, '$.to_parent_user_id', '$.message.to_parent_user_id')
        ) as recipient_id,
        either_text_at(echo_text, '$.group_id', '$.message.group_id') is not null
        or coalesce(either_text_at(echo_text, '$.recipient_type', '$.message.recipient_type') = 'group', false) as is_of_group
    from parsed_statuses
    where echo_text is not null
),

checked as (
    select
        *,
        case
            when is_of_group then null
            when message_id is null then 'message_echoes[].id: missing or not a string'
            when happened_at is null then 'message_echoes[].timestamp: missing or not Unix seconds'
            when recipient_id is null then 'message_echoes[].to: missing or not a string'
            when phone_number_id is null and not has_digit(display_phone_number) and not has_digit(sender_id)
                then 'metadata.phone_number_id: missing'
            when is_nested(phone_number_id) then 'metadata.phone_number_id: not a string'
            when is_nested(display_phone_number) then 'metadata.display_phone_number: not a string'
        end as problem
    from extracted
)

select
    * exclude (is_of_group),
    not is_of_group as has_echo,
    not is_bad_body and problem is null as is_good,
    case when not is_bad_body and is_of_group then 'echo of a group' end as other_kind
from checked;

-- Two or more identifiers that are together in an element of `contacts`, or in a notice of a changed number or user id.
create or replace temp table parsed_identities as
with contacts as (
    select
        file_index,
        record_number,
        line_number,
        is_bad_body,
        plain(contact_wa_id) as wa_id,
        plain(contact_user_id) as user_id,
        plain(contact_parent_user_id) as parent_user_id,
        -- The status or message beside a contact usually has the same identifiers, and it lands.
        has_status and is_good and all_among(
            plain(contact_wa_id), plain(contact_user_id), plain(contact_parent_user_id), recipient_id, recipient_user_id, recipient_parent_user_id
        ) as is_covered_by_item
    from parsed_statuses
    where message_text is null
    union all
    select
        file_index,
        record_number,
        line_number,
        is_bad_body,
        plain(contact_wa_id) as wa_id,
        plain(contact_user_id) as user_id,
        plain(contact_parent_user_id) as parent_user_id,
        is_good and not is_in_group and all_among(
            plain(contact_wa_id), plain(contact_user_id), plain(contact_parent_user_id), sender_id, sender_user_id, sender_parent_user_id
        ) as is_covered_by_item
    from parsed_messages
),

notices as (
    select
        file_index,
        record_number,
        line_number,
        'user_id_update' as kind,
        notice_text as notice,
        null as sender_id,
        null as sender_user_id,
        null as sender_parent_user_id
    from parsed_statuses
    where notice_text is not null and not is_bad_body
    union all
    select
        file_index,
        record_number,
        line_number,
        text_at(notice_text, '$.type') as kind,
        notice_text as notice,
        sender_id,
        sender_user_id,
        sender_parent_user_id
    from parsed_messages
    where notice_text is not null and is_good and not is_in_group
),

notices_parsed as (
    select
        file_index,
        record_number,
        line_number,
        kind,
        new_wa_id(notice) as wa_id,
        new_user_id(notice) as user_id,
        new_parent_user_id(notice) as parent_user_id,
        sender_id as previous_wa_id,
        coalesce(sender_user_id, previous_user_id(notice)) as previous_user_id,
        coalesce(sender_parent_user_id, previous_parent_user_id(notice)) as previous_parent_user_id,
        -- All identifiers in the notice: one without a column of its own gets a row of its own.
        [
            text_at(notice, '$.wa_id'), text_at(notice, '$.new_wa_id'), new_user_id(notice), new_parent_user_id(notice),
            previous_user_id(notice), previous_parent_user_id(notice), sender_id, sender_user_id, sender_parent_user_id
        ] as identifiers
    from notices
),

identities as (
    select file_index, record_number, line_number, 'contact' as kind, wa_id, user_id, parent_user_id
    from contacts
    where has_two_identifiers(wa_id, user_id, parent_user_id) and not is_covered_by_item and not is_bad_body
    union all by name
    select * exclude (identifiers)
    from notices_parsed
    union all by name
    select
        file_index,
        record_number,
        line_number,
        kind,
        wa_id,
        user_id,
        parent_user_id,
        unnest(list_filter(
            identifiers,
            lambda x: x not in [wa_id, user_id, parent_user_id, previous_wa_id, previous_user_id, previous_parent_user_id]
        )) as previous_wa_id
    from notices_parsed
)

select *
from identities
where len(list_distinct([wa_id, user_id, parent_user_id, previous_wa_id, previous_user_id, previous_parent_user_id])) > 1;

-- The metadata of items counted as another kind, with the first line of a file that has it.
create or replace temp table parsed_channels as
with others as (
    select file_index, line_number, plain(phone_number_id) as phone_number_id, plain(display_phone_number) as display_phone_number
    from parsed_statuses
    where other_kind is not null
    union all
    select file_index, line_number, plain(phone_number_id) as phone_number_id, plain(display_phone_number) as display_phone_number
    from parsed_echoes
    where other_kind is not null
)

select file_index, min(line_number) as line_number, phone_number_id, display_phone_number
from others
where phone_number_id is not null and display_phone_number is not null
group by file_index, phone_number_id, display_phone_number;

create or replace temp view parsed_records as
select file_index, record_number, line_number, problem, record
from parsed_statuses
union all
select file_index, record_number, line_number, problem, null
from parsed_messages
where problem is not null
union all
select file_index, record_number, line_number, problem, null
from parsed_echoes
where problem is not null;

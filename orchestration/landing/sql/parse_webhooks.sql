-- The bodies of a batch, one row per status, message, echo and contact of a change, side by side, and at least one per change
-- and body; as Meta posts them:
-- https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/reference
-- What is rare (standby, echoes, notices) is read as JSON text first, and by its structure only where there is one.
create or replace temp table parsed_items as
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
        lenient_problem(line) as lenient_problem,
        try(from_json(json, '{"entry": [{"changes": [{"field": "VARCHAR", "value": {
            "metadata": {"phone_number_id": "VARCHAR", "display_phone_number": "VARCHAR"},
            "contacts": [{"wa_id": "VARCHAR", "user_id": "VARCHAR", "parent_user_id": "VARCHAR"}],
            "statuses": [{
                "id": "VARCHAR", "status": "VARCHAR", "timestamp": "VARCHAR", "type": "VARCHAR",
                "recipient_id": "VARCHAR", "recipient_user_id": "VARCHAR", "recipient_parent_user_id": "VARCHAR",
                "recipient_type": "VARCHAR", "recipient_participant_id": "VARCHAR", "recipient_participant_user_id": "VARCHAR",
                "pricing": {"pricing_model": "VARCHAR", "category": "VARCHAR", "type": "VARCHAR", "billable": "VARCHAR"},
                "errors": [{"code": "VARCHAR", "title": "VARCHAR", "message": "VARCHAR", "error_data": {"details": "VARCHAR"}}]
            }],
            "messages": [{
                "id": "VARCHAR", "type": "VARCHAR", "timestamp": "VARCHAR", "group_id": "VARCHAR",
                "from": "VARCHAR", "from_user_id": "VARCHAR", "from_parent_user_id": "VARCHAR",
                "user_id": "VARCHAR", "parent_user_id": "VARCHAR",
                "context": {"id": "VARCHAR"},
                "reaction": {"message_id": "VARCHAR", "emoji": "VARCHAR"},
                "referral": {"source_type": "VARCHAR", "source_id": "VARCHAR"},
                "system": "VARCHAR"
            }],
            "standby": "VARCHAR", "message_echoes": "VARCHAR", "user_id_update": "VARCHAR"
        }}]}]}')) as body
    from readable_lines
),

entries as (
    select
        * exclude (body),
        body is null as is_unreadable,
        unnest(body.entry) as entry,
        unnest([0]) as padding
    from bodies
),

changes as (
    select * exclude (entry, padding), unnest(entry.changes) as change, unnest([0]) as padding
    from entries
),

changes_by_field as (
    select
        * exclude (change, padding),
        nullif(change.field, '') as field,
        -- Without a field it is what Meta's field `messages` is.
        coalesce(nullif(change.field, ''), 'messages') as read_as,
        change.value as value,
        case when change.field = 'standby' then try(from_json(change.value.standby, '{
            "metadata": {"phone_number_id": "VARCHAR", "display_phone_number": "VARCHAR"},
            "contacts": [{"wa_id": "VARCHAR", "user_id": "VARCHAR", "parent_user_id": "VARCHAR"}],
            "statuses": [{
                "id": "VARCHAR", "status": "VARCHAR", "timestamp": "VARCHAR", "type": "VARCHAR",
                "recipient_id": "VARCHAR", "recipient_user_id": "VARCHAR", "recipient_parent_user_id": "VARCHAR",
                "recipient_type": "VARCHAR", "recipient_participant_id": "VARCHAR", "recipient_participant_user_id": "VARCHAR",
                "pricing": {"pricing_model": "VARCHAR", "category": "VARCHAR", "type": "VARCHAR", "billable": "VARCHAR"},
                "errors": [{"code": "VARCHAR", "title": "VARCHAR", "message": "VARCHAR", "error_data": {"details": "VARCHAR"}}]
            }],
            "messages": [{
                "id": "VARCHAR", "type": "VARCHAR", "timestamp": "VARCHAR", "group_id": "VARCHAR",
                "from": "VARCHAR", "from_user_id": "VARCHAR", "from_parent_user_id": "VARCHAR",
                "user_id": "VARCHAR", "parent_user_id": "VARCHAR",
                "context": {"id": "VARCHAR"},
                "reaction": {"message_id": "VARCHAR", "emoji": "VARCHAR"},
                "referral": {"source_type": "VARCHAR", "source_id": "VARCHAR"},
                "system": "VARCHAR"
            }],
            "message_echoes": "VARCHAR"
        }')) end as standby
    from changes
),

lists as (
    select
        * exclude (value, standby),
        coalesce(nullif(value.metadata.phone_number_id, ''), nullif(standby.metadata.phone_number_id, '')) as phone_number_id,
        coalesce(nullif(value.metadata.display_phone_number, ''), nullif(standby.metadata.display_phone_number, '')) as display_phone_number,
        case read_as when 'messages' then value.statuses when 'standby' then standby.statuses end as statuses,
        case read_as when 'messages' then value.messages when 'standby' then standby.messages end as messages,
        case read_as when 'messages' then value.contacts when 'standby' then standby.contacts end as contacts,
        case
            when read_as in ('standby', 'smb_message_echoes') then try(from_json(
                case read_as when 'standby' then standby.message_echoes else value.message_echoes end,
                '[{
                    "id": "VARCHAR", "timestamp": "VARCHAR", "type": "VARCHAR", "from": "VARCHAR",
                    "group_id": "VARCHAR", "recipient_type": "VARCHAR", "to": "VARCHAR", "to_user_id": "VARCHAR", "to_parent_user_id": "VARCHAR",
                    "message": {
                        "type": "VARCHAR", "from": "VARCHAR", "group_id": "VARCHAR", "recipient_type": "VARCHAR",
                        "to": "VARCHAR", "to_user_id": "VARCHAR", "to_parent_user_id": "VARCHAR"
                    }
                }]'
            ))
        end as echoes,
        case
            when read_as = 'user_id_update' then case left(value.user_id_update, 1)
                when '[' then try(json_extract(value.user_id_update, '$[*]')::varchar[])
                when '{' then [value.user_id_update]
            end
        end as user_id_updates
    from changes_by_field
),

items as (
    select
        * exclude (statuses, messages, contacts, echoes, user_id_updates),
        case when len(contacts) = 1 then contacts[1] end as only_contact,
        len(statuses) as statuses,
        len(messages) as messages,
        len(echoes) as echoes,
        unnest(statuses) as status,
        unnest(messages) as message,
        unnest(contacts) as contact,
        unnest(echoes) as echo,
        unnest(user_id_updates) as user_id_update,
        unnest(range(1, greatest(len(statuses), len(messages), len(contacts), len(echoes), len(user_id_updates), 1) + 1)) as place
    from lists
),

named as (
    select
        file_index,
        record_number,
        line_number,
        line,
        json,
        is_undecodable,
        is_unreadable,
        lenient_problem,
        field,
        read_as,
        phone_number_id,
        display_phone_number,
        statuses is null as lacks_statuses,
        messages is null as lacks_messages,
        echoes is null as lacks_echoes,
        place = 1 and coalesce(statuses, 0) + coalesce(messages, 0) + coalesce(echoes, 0) = 0 as is_change_without_items,
        coalesce(place <= statuses, false) as has_status,
        coalesce(place <= messages, false) as has_message,
        coalesce(place <= echoes, false) as has_echo,
        nullif(status.id, '') as status_message_id,
        nullif(status.status, '') as status,
        unix_time(status.timestamp) as status_at,
        nullif(status.recipient_id, '') as recipient_id,
        nullif(status.recipient_user_id, '') as recipient_user_id,
        nullif(status.recipient_parent_user_id, '') as recipient_parent_user_id,
        case
            when status.type = 'payment' then 'status of a payment'
            when status.recipient_type = 'group' or status.recipient_participant_id <> '' or status.recipient_participant_user_id <> ''
                then 'status of a group'
        end as status_other_kind,
        case when not is_nested(status.pricing.pricing_model) then nullif(status.pricing.pricing_model, '') end as pricing_model,
        case when not is_nested(status.pricing.category) then nullif(status.pricing.category, '') end as pricing_category,
        case when not is_nested(status.pricing.type) then nullif(status.pricing.type, '') end as pricing_type,
        case lower(status.pricing.billable) when 'true' then true when 'false' then false end as pricing_billable,
        status.errors[1].code as error_code,
        status.errors[1].title as error_title,
        status.errors[1].message as error_message,
        status.errors[1].error_data.details as error_details,
        nullif(message.id, '') as message_id,
        nullif(message.type, '') as message_type,
        unix_time(message.timestamp) as message_at,
        nullif(message.from, '') as sender_number,
        coalesce(nullif(message.from_user_id, ''), nullif(message.user_id, '')) as sender_user_id,
        coalesce(nullif(message.from_parent_user_id, ''), nullif(message.parent_user_id, '')) as sender_parent_user_id,
        coalesce(
            nullif(message.from, ''), nullif(message.from_user_id, ''), nullif(message.from_parent_user_id, ''),
            nullif(message.user_id, ''), nullif(message.parent_user_id, ''),
            nullif(only_contact.wa_id, ''), nullif(only_contact.user_id, ''), nullif(only_contact.parent_user_id, '')
        ) as sender_id,
        nullif(message.context.id, '') as context_message_id,
        nullif(message.reaction.message_id, '') as reaction_message_id,
        coalesce(message.reaction.emoji, '') <> '' as has_reaction_emoji,
        coalesce(message.group_id, '') <> '' as is_in_group,
        message.referral is not null as has_referral,
        message.referral.source_type as referral_source_type,
        message.referral.source_id as referral_source_id,
        case when message.type = 'system' and left(message.system, 1) = '{' then message.system end as notice,
        user_id_update,
        case when not is_nested(contact.wa_id) then nullif(contact.wa_id, '') end as contact_wa_id,
        case when not is_nested(contact.user_id) then nullif(contact.user_id, '') end as contact_user_id,
        case when not is_nested(contact.parent_user_id) then nullif(contact.parent_user_id, '') end as contact_parent_user_id,
        nullif(echo.id, '') as echo_message_id,
        coalesce(nullif(echo.type, ''), nullif(echo.message.type, '')) as echo_type,
        unix_time(echo.timestamp) as echo_at,
        coalesce(nullif(echo.from, ''), nullif(echo.message.from, '')) as echo_sender_id,
        coalesce(
            nullif(echo.to, ''), nullif(echo.message.to, ''), nullif(echo.to_user_id, ''), nullif(echo.message.to_user_id, ''),
            nullif(echo.to_parent_user_id, ''), nullif(echo.message.to_parent_user_id, '')
        ) as echo_recipient_id,
        case
            when echo.group_id <> '' or echo.message.group_id <> '' or echo.recipient_type = 'group' or echo.message.recipient_type = 'group'
                then 'echo of a group'
        end as echo_other_kind
    from items
),

judged as (
    select
        *,
        case
            when is_undecodable then 'not UTF-8'
            when is_unreadable then 'not JSON'
            when lenient_problem is not null then lenient_problem
            -- Nothing that is read: another kind, or a body of the wrong shape. Few, so read again.
            when is_change_without_items then case
                when json_type(json) <> 'OBJECT' then 'not a JSON object'
                when json_type(json, '$.entry') is null then 'entry: missing'
                when json_type(json, '$.entry') <> 'ARRAY' then 'entry: not a list'
                when len(list_filter(json_type(json, '$.entry[*]'), lambda t: t <> 'OBJECT')) > 0 then 'entry: not a list of objects'
                when has_other_types(json, '$.entry[*].changes', 'ARRAY') then 'changes: not a list'
                when len(list_filter(json_type(json, '$.entry[*].changes[*]'), lambda t: t <> 'OBJECT')) > 0 then 'changes: not a list of objects'
                else webhook_list_problem(json)
            end
        end as body_problem,
        -- The other lists of a change, where one is no list and so came out as absent. The colon tells a key from the kind
        -- of the change (and DuckDB finds ten bytes in half the time of eleven); few lines have both, so read those again.
        case
            when not (has_status or has_message or has_echo) then null
            when lacks_statuses and contains(line, 'statuses":') then webhook_list_problem(json)
            when lacks_messages and contains(line, 'messages":') then webhook_list_problem(json)
            when lacks_echoes and read_as = 'standby' and contains(line, 'message_echoes') then webhook_list_problem(json)
        end as neighbour_problem,
        case
            when not has_status or status_other_kind is not null then null
            when status_message_id is null then 'statuses[].id: missing'
            when is_nested(status_message_id) then 'statuses[].id: not a string'
            when status is null then 'statuses[].status: missing'
            when is_nested(status) then 'statuses[].status: not a string'
            when is_nested(recipient_id) then 'statuses[].recipient_id: not a string'
            when is_nested(recipient_user_id) then 'statuses[].recipient_user_id: not a string'
            when is_nested(recipient_parent_user_id) then 'statuses[].recipient_parent_user_id: not a string'
            when is_nested(phone_number_id) then 'metadata.phone_number_id: not a string'
            when is_nested(display_phone_number) then 'metadata.display_phone_number: not a string'
            when status_at is null then 'statuses[].timestamp: missing or not Unix seconds'
        end as status_problem,
        case
            when not has_message then null
            when message_id is null then 'messages[].id: missing'
            when is_nested(message_id) then 'messages[].id: not a string'
            when message_at is null then 'messages[].timestamp: missing or not Unix seconds'
            when sender_id is null then 'messages[].from: missing'
            when is_nested(sender_id) then 'messages[].from: not a string'
            when is_nested(sender_user_id) then 'messages[].from_user_id: not a string'
            when is_nested(sender_parent_user_id) then 'messages[].from_parent_user_id: not a string'
            when is_nested(message_type) then 'messages[].type: not a string'
            when is_nested(context_message_id) then 'messages[].context.id: not a string'
            when is_nested(reaction_message_id) then 'messages[].reaction.message_id: not a string'
            when coalesce(phone_number_id, display_phone_number) is null then 'metadata.phone_number_id: missing'
            when is_nested(phone_number_id) then 'metadata.phone_number_id: not a string'
            when is_nested(display_phone_number) then 'metadata.display_phone_number: not a string'
        end as message_problem,
        case
            when not has_echo or echo_other_kind is not null then null
            when echo_message_id is null then 'message_echoes[].id: missing'
            when is_nested(echo_message_id) then 'message_echoes[].id: not a string'
            when echo_at is null then 'message_echoes[].timestamp: missing or not Unix seconds'
            when echo_recipient_id is null then 'message_echoes[].to: missing'
            when is_nested(echo_recipient_id) then 'message_echoes[].to: not a string'
            when is_nested(echo_type) then 'message_echoes[].type: not a string'
            when is_nested(echo_sender_id) then 'message_echoes[].from: not a string'
            when coalesce(phone_number_id, display_phone_number, echo_sender_id) is null then 'metadata.phone_number_id: missing'
            when is_nested(phone_number_id) then 'metadata.phone_number_id: not a string'
            when is_nested(display_phone_number) then 'metadata.display_phone_number: not a string'
        end as echo_problem
    from named
),

-- What the contact and the notice of a row say of a person.
identified as (
    select
        *,
        (contact_wa_id is not null)::integer + (contact_user_id is not null)::integer + (contact_parent_user_id is not null)::integer > 1
        -- A status or message that lands beside it mostly says the same.
        and not (
            has_status and status_problem is null and status_other_kind is null
            and is_null_or_one_of(contact_wa_id, recipient_id, recipient_user_id, recipient_parent_user_id)
            and is_null_or_one_of(contact_user_id, recipient_id, recipient_user_id, recipient_parent_user_id)
            and is_null_or_one_of(contact_parent_user_id, recipient_id, recipient_user_id, recipient_parent_user_id)
        )
        and not (
            has_message and message_problem is null and not is_in_group
            and is_null_or_one_of(contact_wa_id, sender_id, sender_user_id, sender_parent_user_id)
            and is_null_or_one_of(contact_user_id, sender_id, sender_user_id, sender_parent_user_id)
            and is_null_or_one_of(contact_parent_user_id, sender_id, sender_user_id, sender_parent_user_id)
        ) as has_contact,
        case
            when user_id_update is not null then 'user_id_update'
            when message_problem is null and not is_in_group and text_at(notice, '$.type') in ('user_changed_number', 'user_changed_user_id')
                then text_at(notice, '$.type')
        end as notice_kind,
        coalesce(user_id_update, notice) as notice_text
    from judged
)

select
    file_index,
    record_number,
    line_number,
    body_problem,
    neighbour_problem,
    status_problem,
    message_problem,
    echo_problem,
    case when coalesce(body_problem, neighbour_problem, status_problem, message_problem, echo_problem) is not null then line end as record,
    phone_number_id,
    display_phone_number,
    has_status and status_other_kind is null as has_status,
    status_message_id,
    status,
    status_at,
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
    has_message,
    message_id,
    message_type,
    message_at,
    sender_id,
    sender_user_id,
    sender_parent_user_id,
    context_message_id,
    reaction_message_id,
    has_reaction_emoji,
    is_in_group,
    has_referral,
    referral_source_type,
    referral_source_id,
    has_echo and echo_other_kind is null as has_echo,
    echo_message_id,
    echo_type,
    echo_at,
    echo_sender_id,
    echo_recipient_id,
    has_contact,
    contact_wa_id,
    contact_user_id,
    contact_parent_user_id,
    notice_kind,
    case when notice_kind is not null then coalesce(text_at(notice_text, '$.wa_id'), text_at(notice_text, '$.new_wa_id')) end as notice_wa_id,
    case when notice_kind is not null then coalesce(text_at(notice_text, '$.user_id'), text_at(notice_text, '$.user_id.current')) end as notice_user_id,
    case
        when notice_kind is not null then coalesce(text_at(notice_text, '$.parent_user_id'), text_at(notice_text, '$.parent_user_id.current'))
    end as notice_parent_user_id,
    case when notice_kind is not null then sender_number end as notice_previous_wa_id,
    case when notice_kind is not null then coalesce(sender_user_id, text_at(notice_text, '$.user_id.previous')) end as notice_previous_user_id,
    case
        when notice_kind is not null then coalesce(sender_parent_user_id, text_at(notice_text, '$.parent_user_id.previous'))
    end as notice_previous_parent_user_id,
    case
        when is_change_without_items or status_other_kind is not null or echo_other_kind is not null then list_filter(
            [case when is_change_without_items then coalesce(field, 'nothing inside') end, status_other_kind, echo_other_kind],
            lambda kind: kind is not null
        )
    end as other_kinds
from identified;

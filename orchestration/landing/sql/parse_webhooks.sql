-- The bodies of a batch, one row per status, message or change that is neither; as Meta posts them:
-- https://developers.facebook.com/docs/whatsapp/cloud-api/webhooks/payload-examples
-- Each list is unnested beside a list of one, so that no body without elements disappears on the way.
create or replace temp table parsed_items as
with bodies as (
    select
        file_index,
        record_number,
        line_number,
        md5(coalesce(line, undecodable)) as line_md5,
        coalesce(line, undecodable) as line,
        undecodable is not null as is_undecodable,
        may_have_stray_comma(line) as may_have_stray_comma,
        try(from_json(line, '{"entry": [{"changes": [{"field": "VARCHAR", "value": {
            "metadata": {"phone_number_id": "VARCHAR", "display_phone_number": "VARCHAR"},
            "contacts": [{"wa_id": "VARCHAR", "user_id": "VARCHAR"}],
            "statuses": [{
                "id": "VARCHAR", "status": "VARCHAR", "timestamp": "VARCHAR",
                "recipient_id": "VARCHAR", "recipient_user_id": "VARCHAR",
                "errors": [{"code": "VARCHAR", "title": "VARCHAR", "message": "VARCHAR", "error_data": {"details": "VARCHAR"}}]
            }],
            "messages": [{
                "id": "VARCHAR", "type": "VARCHAR", "timestamp": "VARCHAR",
                "from": "VARCHAR", "from_user_id": "VARCHAR", "user_id": "VARCHAR",
                "context": {"id": "VARCHAR"},
                "referral": {"source_type": "VARCHAR", "source_id": "VARCHAR"}
            }]
        }}]}]}')) as body
    from lines
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

items as (
    select
        * exclude (change, padding),
        change.field as field,
        nullif(change.value.metadata.phone_number_id, '') as phone_number_id,
        nullif(change.value.metadata.display_phone_number, '') as display_phone_number,
        case when len(change.value.contacts) = 1 then change.value.contacts[1] end as only_contact,
        change.value.statuses is null as lacks_statuses,
        change.value.messages is null as lacks_messages,
        unnest(change.value.statuses) as status,
        unnest(change.value.messages) as message,
        unnest([0]) as padding
    from changes
),

named as (
    select
        file_index,
        record_number,
        line_number,
        line_md5,
        line,
        is_undecodable,
        is_unreadable,
        may_have_stray_comma,
        field,
        phone_number_id,
        display_phone_number,
        lacks_statuses,
        lacks_messages,
        status is not null as has_status,
        message is not null as has_message,
        nullif(status.id, '') as status_message_id,
        nullif(status.status, '') as status,
        unix_time(status.timestamp) as status_at,
        coalesce(nullif(status.recipient_id, ''), nullif(status.recipient_user_id, '')) as recipient_id,
        status.errors[1].code as error_code,
        status.errors[1].title as error_title,
        status.errors[1].message as error_message,
        status.errors[1].error_data.details as error_details,
        nullif(message.id, '') as message_id,
        nullif(message.type, '') as message_type,
        unix_time(message.timestamp) as message_at,
        coalesce(
            nullif(message.from, ''), nullif(message.from_user_id, ''), nullif(message.user_id, ''),
            nullif(only_contact.wa_id, ''), nullif(only_contact.user_id, '')
        ) as sender_id,
        nullif(message.context.id, '') as context_message_id,
        message.referral is not null as has_referral,
        message.referral.source_type as referral_source_type,
        message.referral.source_id as referral_source_id
    from items
),

judged as (
    select
        *,
        case
            when is_undecodable then 'not UTF-8'
            when is_unreadable then 'not JSON'
            -- Nothing we know in it: another kind, or a body of the wrong shape. Few, so read again.
            when not has_status and not has_message then case
                when json_type(line) <> 'OBJECT' then 'not a JSON object'
                when json_type(line, '$.entry') is null then 'entry: missing'
                when json_type(line, '$.entry') <> 'ARRAY' then 'entry: not a list'
                when len(list_filter(json_type(line, '$.entry[*]'), lambda t: t <> 'OBJECT')) > 0 then 'entry: not a list of objects'
                when has_other_types(line, '$.entry[*].changes', 'ARRAY') then 'changes: not a list'
                when len(list_filter(json_type(line, '$.entry[*].changes[*]'), lambda t: t <> 'OBJECT')) > 0 then 'changes: not a list of objects'
                when has_other_types(line, '$.entry[*].changes[*].value', 'OBJECT') then 'value: not an object'
                when has_other_types(line, '$.entry[*].changes[*].value.statuses', 'ARRAY') then 'statuses: not a list'
                when has_other_types(line, '$.entry[*].changes[*].value.messages', 'ARRAY') then 'messages: not a list'
            end
        end as body_problem,
        -- The other list of a change, where it is no list and so came out as absent. The colon tells a key from the kind
        -- of the change (and DuckDB finds ten bytes in half the time of eleven); few lines have both, so read those again.
        case
            when has_status and lacks_messages and contains(line, 'messages":')
                and has_other_types(line, '$.entry[*].changes[*].value.messages', 'ARRAY') then 'messages: not a list'
            when has_message and lacks_statuses and contains(line, 'statuses":')
                and has_other_types(line, '$.entry[*].changes[*].value.statuses', 'ARRAY') then 'statuses: not a list'
        end as neighbour_problem,
        case
            when not has_status then null
            when status_message_id is null then 'statuses[].id: missing'
            when is_nested(status_message_id) then 'statuses[].id: not a string'
            when status is null then 'statuses[].status: missing'
            when is_nested(status) then 'statuses[].status: not a string'
            when is_nested(phone_number_id) then 'metadata.phone_number_id: not a string'
            when status_at is null then 'statuses[].timestamp: missing or not Unix seconds'
        end as status_problem,
        case
            when not has_message then null
            when message_id is null then 'messages[].id: missing'
            when is_nested(message_id) then 'messages[].id: not a string'
            when message_at is null then 'messages[].timestamp: missing or not Unix seconds'
            when sender_id is null then 'messages[].from: missing'
            when is_nested(sender_id) then 'messages[].from: not a string'
            when is_nested(message_type) then 'messages[].type: not a string'
            when is_nested(context_message_id) then 'messages[].context.id: not a string'
            when coalesce(phone_number_id, display_phone_number) is null then 'metadata.phone_number_id: missing'
            when is_nested(phone_number_id) then 'metadata.phone_number_id: not a string'
        end as message_problem
    from named
)

select
    * exclude (line, is_undecodable, is_unreadable, may_have_stray_comma, lacks_statuses, lacks_messages),
    may_have_stray_comma and body_problem is null as may_have_stray_comma,
    case
        when coalesce(body_problem, neighbour_problem, status_problem, message_problem) is not null or may_have_stray_comma then line
    end as record
from judged;

-- The problem of an element of `events` or `messages`, whose required text is in `key`, or null.
create or replace temp macro item_problem(list_name, key, text, happened_at) as (
    case
        when trim(coalesce(text, '')) = '' then list_name || '[].' || key || ': missing'
        when is_nested(text) then list_name || '[].' || key || ': not a string'
        when happened_at is null then list_name || '[].creationTime: missing or not ISO 8601 with an offset'
    end
);

create or replace temp macro event_problem(event, event_at) as item_problem('events', 'name', event.name, event_at);
create or replace temp macro message_problem(message, message_at) as item_problem('messages', 'id', message.id, message_at);

create or replace temp macro has_invalid_item(session, number) as (
    (
        number between 1 and len(session.events)
        and event_problem(session.events[number], readable_time(iso_time(session.events[number].creationTime))) is not null
    ) or (
        number between 1 and len(session.messages)
        and message_problem(session.messages[number], readable_time(iso_time(session.messages[number].creationTime))) is not null
    )
);

-- The events and messages of Botmaker's sessions, side by side in the rows of their session, which has at least one row:
-- https://api.botmaker.com/v2.0, `GET /sessions`.
create or replace temp table parsed_botmaker_sessions as
with parsed as (
    select
        * exclude (notification_name),
        case when line_problem is null then try(from_json(record, '{
            "id": "VARCHAR", "creationTime": "VARCHAR", "startingCause": "VARCHAR",
            "chat": {
                "chat": {
                    "chatId": "VARCHAR", "channelId": "VARCHAR", "contactId": "VARCHAR", "userId": "VARCHAR", "parentUserId": "VARCHAR"
                },
                "creationTime": "VARCHAR", "isTester": "VARCHAR"
            },
            "events": [{
                "name": "VARCHAR", "creationTime": "VARCHAR",
                "info": {"messageId": "VARCHAR", "whatsappTemplate": "VARCHAR", "reason": "VARCHAR", "error": "VARCHAR"}
            }],
            "messages": [{
                "id": "VARCHAR", "creationTime": "VARCHAR", "from": "VARCHAR",
                "content": {"whatsAppTemplateName": "VARCHAR"}
            }]
        }')) end as session,
        case when line_problem is null then json_type(record, [
            '$', '$.id', '$.creationTime', '$.chat.chat.chatId', '$.chat.chat.channelId', '$.chat.chat.contactId', '$.events', '$.messages'
        ]) end as types
    from paged_records
),

checked as (
    select
        * exclude (session, types),
        session,
        readable_time(iso_time(session.creationTime)) as created_at,
        coalesce(len(session.events), 0) as events,
        coalesce(len(session.messages), 0) as messages,
        case
            when line_problem is not null then line_problem
            when types[1] <> 'OBJECT' then 'not a JSON object'
            else coalesce(
                problem_of_text('id', session.id, types[2]),
                problem_of_text('creationTime', session.creationTime, types[3]),
                problem_of_time('creationTime', session.creationTime, types[3]),
                problem_of_text('chat.chat.chatId', session.chat.chat.chatId, types[4]),
                problem_of_text('chat.chat.channelId', session.chat.chat.channelId, types[5]),
                case when types[6] not in ('VARCHAR', 'NULL') then 'chat.chat.contactId: not a string' end,
                case when is_nested(session.chat.chat.userId) then 'chat.chat.userId: not a string' end,
                case when is_nested(session.chat.chat.parentUserId) then 'chat.chat.parentUserId: not a string' end,
                case when types[7] not in ('ARRAY', 'NULL') then 'events: not a list' end,
                case when types[8] not in ('ARRAY', 'NULL') then 'messages: not a list' end
            )
        end as session_problem
    from parsed
),

items as (
    select
        *,
        session.id as session_id,
        nullif(session.startingCause, '') as starting_cause,
        session.chat.chat.chatId as chat_id,
        session.chat.chat.channelId as channel_id,
        -- A person with a username may have no number.
        nullif(trim(session.chat.chat.contactId), '') as contact_id,
        nullif(session.chat.chat.userId, '') as user_id,
        nullif(session.chat.chat.parentUserId, '') as parent_user_id,
        readable_time(iso_time(session.chat.creationTime)) as chat_created_at,
        coalesce(lower(session.chat.isTester) = 'true', false) as is_tester,
        unnest(case when session_problem is null then session.events end) as event,
        unnest(case when session_problem is null then session.messages end) as message,
        unnest(range(1, case when session_problem is null then greatest(events, messages, 1) else 1 end + 1)) as item_number
    from checked
),

items_checked as (
    select
        *,
        item_number <= events and session_problem is null as has_event,
        item_number <= messages and session_problem is null as has_message,
        readable_time(iso_time(event.creationTime)) as event_at,
        readable_time(iso_time(message.creationTime)) as message_at
    from items
),

problems as (
    select
        *,
        case when has_event then event_problem(event, event_at) end as event_problem,
        case when has_message then message_problem(message, message_at) end as message_problem
    from items_checked
)

select
    file_index,
    record_number,
    line_number,
    -- The valid events and messages of a session land even if another one of it is rejected.
    coalesce(session_problem, event_problem || '; ' || message_problem, event_problem, message_problem) as problem,
    -- The text of a long session is not repeated for neighbouring invalid items: copies for a thousand messages of 1 kB would take 1 GB.
    case
        when problem is null then null
        when not is_long_record(record) then record
        when not coalesce(
            has_invalid_item(session, item_number - 1) or has_invalid_item(session, item_number - 2) or has_invalid_item(session, item_number - 3),
            false
        ) then record
    end as record,
    item_number = 1 and session_problem is null as is_session,
    has_event and event_problem is null as has_event,
    has_message and message_problem is null as has_message,
    session_id,
    created_at,
    starting_cause,
    chat_id,
    channel_id,
    contact_id,
    user_id,
    parent_user_id,
    chat_created_at,
    is_tester,
    events,
    messages,
    event.name as event_name,
    event_at,
    nullif(event.info.messageId, '') as event_message_id,
    nullif(event.info.whatsappTemplate, '') as event_template_name,
    nullif(event.info.reason, '') as event_reason,
    nullif(event.info.error, '') as event_error,
    message.id as message_id,
    message_at,
    message."from" as sender,
    nullif(message.content.whatsAppTemplateName, '') as message_template_name
from problems;

create or replace temp view parsed_records as
select file_index, record_number, line_number, problem, record
from parsed_botmaker_sessions;

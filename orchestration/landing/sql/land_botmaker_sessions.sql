insert into raw.botmaker_sessions by name
select
    s.session_id,
    s.created_at,
    s.starting_cause,
    s.chat_id,
    s.channel_id,
    s.contact_id,
    s.user_id,
    s.parent_user_id,
    s.chat_created_at,
    s.is_tester,
    s.events,
    s.messages,
    f.file_name as _file_name,
    s.line_number as _line_number,
    $landed_at as _landed_at,
    $load_id as _load_id
from parsed_botmaker_sessions as s
inner join batch_files as f using (file_index)
where s.is_session;

insert into raw.botmaker_session_events by name
select
    s.session_id,
    s.event_name as name,
    s.event_at as happened_at,
    s.event_message_id as message_id,
    s.event_template_name as template_name,
    s.event_reason as reason,
    s.event_error as error,
    f.file_name as _file_name,
    s.line_number as _line_number,
    $landed_at as _landed_at,
    $load_id as _load_id
from parsed_botmaker_sessions as s
inner join batch_files as f using (file_index)
where s.has_event;

insert into raw.botmaker_session_messages by name
select
    s.session_id,
    s.message_id,
    s.message_at as happened_at,
    s.sender,
    s.message_template_name as template_name,
    f.file_name as _file_name,
    s.line_number as _line_number,
    $landed_at as _landed_at,
    $load_id as _load_id
from parsed_botmaker_sessions as s
inner join batch_files as f using (file_index)
where s.has_message;

insert into raw.sends by name
select
    s.message_id,
    s.sent_at,
    s.channel_id,
    s.contact_id,
    s.template_name,
    s.template_language,
    s.notification_name,
    s.line_number_of_channel as line_number,
    s.customer_id,
    s.customer_created_at,
    s.agent_groups,
    s.chat_link,
    s.has_error,
    s.error_code,
    s.error_title,
    s.error_details,
    f.file_name as _file_name,
    s.line_number as _line_number,
    $landed_at as _landed_at,
    $load_id as _load_id
from parsed_sends as s
inner join batch_files as f using (file_index)
where s.problem is null;

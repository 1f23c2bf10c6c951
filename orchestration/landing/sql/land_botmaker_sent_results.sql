insert into raw.botmaker_sent_results by name
select
    r.session_id,
    r.contact_id,
    r.notification_name,
    r.sent_at,
    r.delivered_at,
    r.read_at,
    r.answered_at,
    r.error_at,
    f.file_name as _file_name,
    r.line_number as _line_number,
    $landed_at as _landed_at,
    $load_id as _load_id
from parsed_botmaker_sent_results as r
inner join batch_files as f using (file_index)
where r.problem is null;

insert into raw.webhook_statuses by name
select
    i.status_message_id as message_id,
    i.status,
    i.status_at as happened_at,
    i.phone_number_id,
    i.display_phone_number,
    i.recipient_id,
    i.error_code,
    i.error_title,
    i.error_message,
    i.error_details,
    f.file_name as _file_name,
    i.line_number as _line_number,
    i.line_md5 as _line_md5,
    $landed_at as _landed_at,
    $load_id as _load_id
from parsed_items as i
inner join batch_files as f using (file_index)
where i.has_status and i.status_problem is null and i.body_problem is null;

insert into raw.webhook_messages by name
select
    i.message_id,
    i.message_type,
    i.message_at as happened_at,
    i.phone_number_id,
    i.display_phone_number,
    i.sender_id,
    i.context_message_id,
    i.has_referral,
    i.referral_source_type,
    i.referral_source_id,
    f.file_name as _file_name,
    i.line_number as _line_number,
    i.line_md5 as _line_md5,
    $landed_at as _landed_at,
    $load_id as _load_id
from parsed_items as i
inner join batch_files as f using (file_index)
where i.has_message and i.message_problem is null and i.body_problem is null;

insert into raw.webhook_other_kinds by name
select
    coalesce(i.field, 'nothing inside') as kind,
    f.file_name as _file_name,
    i.line_number as _line_number,
    i.line_md5 as _line_md5,
    $landed_at as _landed_at,
    $load_id as _load_id
from parsed_items as i
inner join batch_files as f using (file_index)
where not i.has_status and not i.has_message and i.body_problem is null;

insert into raw.webhook_statuses by name
select
    i.status_message_id as message_id,
    i.status,
    i.status_at as happened_at,
    i.phone_number_id,
    i.display_phone_number,
    i.recipient_id,
    i.recipient_user_id,
    i.recipient_parent_user_id,
    i.pricing_model,
    i.pricing_category,
    i.pricing_type,
    i.pricing_billable,
    i.error_code,
    i.error_title,
    i.error_message,
    i.error_details,
    f.file_name as _file_name,
    i.line_number as _line_number,
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
    i.sender_user_id,
    i.sender_parent_user_id,
    i.context_message_id,
    i.reaction_message_id,
    i.has_reaction_emoji,
    i.is_in_group,
    i.has_referral,
    i.referral_source_type,
    i.referral_source_id,
    f.file_name as _file_name,
    i.line_number as _line_number,
    $landed_at as _landed_at,
    $load_id as _load_id
from parsed_items as i
inner join batch_files as f using (file_index)
where i.has_message and i.message_problem is null and i.body_problem is null;

insert into raw.webhook_echoes by name
select
    i.echo_message_id as message_id,
    i.echo_type as message_type,
    i.echo_at as happened_at,
    i.phone_number_id,
    i.display_phone_number,
    i.echo_sender_id as sender_id,
    i.echo_recipient_id as recipient_id,
    f.file_name as _file_name,
    i.line_number as _line_number,
    $landed_at as _landed_at,
    $load_id as _load_id
from parsed_items as i
inner join batch_files as f using (file_index)
where i.has_echo and i.echo_problem is null and i.body_problem is null;

insert into raw.webhook_identities by name
select
    'contact' as kind,
    i.contact_wa_id as wa_id,
    i.contact_user_id as user_id,
    i.contact_parent_user_id as parent_user_id,
    f.file_name as _file_name,
    i.line_number as _line_number,
    $landed_at as _landed_at,
    $load_id as _load_id
from parsed_items as i
inner join batch_files as f using (file_index)
where i.has_contact and i.body_problem is null;

insert into raw.webhook_identities by name
select
    i.notice_kind as kind,
    i.notice_wa_id as wa_id,
    i.notice_user_id as user_id,
    i.notice_parent_user_id as parent_user_id,
    i.notice_previous_wa_id as previous_wa_id,
    i.notice_previous_user_id as previous_user_id,
    i.notice_previous_parent_user_id as previous_parent_user_id,
    f.file_name as _file_name,
    i.line_number as _line_number,
    $landed_at as _landed_at,
    $load_id as _load_id
from parsed_items as i
inner join batch_files as f using (file_index)
where i.notice_kind is not null and i.body_problem is null;

insert into raw.webhook_other_kinds by name
select
    unnest(i.other_kinds) as kind,
    f.file_name as _file_name,
    i.line_number as _line_number,
    $landed_at as _landed_at,
    $load_id as _load_id
from parsed_items as i
inner join batch_files as f using (file_index)
where i.other_kinds is not null and i.body_problem is null;

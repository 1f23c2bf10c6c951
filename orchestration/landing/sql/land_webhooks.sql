insert into raw.webhook_statuses by name
select
    s.message_id,
    s.status,
    s.happened_at,
    s.phone_number_id,
    s.display_phone_number,
    s.recipient_id,
    s.recipient_user_id,
    s.recipient_parent_user_id,
    s.pricing_model,
    s.pricing_category,
    s.pricing_type,
    s.pricing_billable,
    s.error_code,
    s.error_title,
    s.error_message,
    s.error_details,
    f.file_name as _file_name,
    s.line_number as _line_number,
    $landed_at as _landed_at,
    $load_id as _load_id
from parsed_statuses as s
inner join batch_files as f using (file_index)
where s.has_status and s.is_good;

insert into raw.webhook_messages by name
select
    m.message_id,
    m.message_type,
    m.happened_at,
    m.phone_number_id,
    m.display_phone_number,
    m.sender_id,
    m.sender_user_id,
    m.sender_parent_user_id,
    m.context_message_id,
    m.reaction_message_id,
    m.has_reaction_emoji,
    m.is_in_group,
    m.has_referral,
    m.referral_source_type,
    m.referral_source_id,
    f.file_name as _file_name,
    m.line_number as _line_number,
    $landed_at as _landed_at,
    $load_id as _load_id
from parsed_messages as m
inner join batch_files as f using (file_index)
where m.has_message and m.is_good;

insert into raw.webhook_echoes by name
select
    e.message_id,
    e.message_type,
    e.happened_at,
    e.phone_number_id,
    e.display_phone_number,
    e.sender_id,
    e.recipient_id,
    f.file_name as _file_name,
    e.line_number as _line_number,
    $landed_at as _landed_at,
    $load_id as _load_id
from parsed_echoes as e
inner join batch_files as f using (file_index)
where e.has_echo and e.is_good;

insert into raw.webhook_identities by name
select
    i.kind,
    i.wa_id,
    i.user_id,
    i.parent_user_id,
    i.previous_wa_id,
    i.previous_user_id,
    i.previous_parent_user_id,
    f.file_name as _file_name,
    i.line_number as _line_number,
    $landed_at as _landed_at,
    $load_id as _load_id
from parsed_identities as i
inner join batch_files as f using (file_index);

insert into raw.webhook_channels by name
select
    c.phone_number_id,
    c.display_phone_number,
    f.file_name as _file_name,
    c.line_number as _line_number,
    $landed_at as _landed_at,
    $load_id as _load_id
from parsed_channels as c
inner join batch_files as f using (file_index);

insert into raw.webhook_other_kinds by name
with others as (
    select file_index, line_number, other_kind from parsed_statuses where other_kind is not null
    union all
    select file_index, line_number, other_kind from parsed_echoes where other_kind is not null
)

select
    o.other_kind as kind,
    f.file_name as _file_name,
    o.line_number as _line_number,
    $landed_at as _landed_at,
    $load_id as _load_id
from others as o
inner join batch_files as f using (file_index);

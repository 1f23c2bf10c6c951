-- A warehouse as commit 609ac08, the first of the history, wrote it: its raw tables with a few rows, and a mart.
create schema raw;
create schema marts;

create table raw.builds (
    build_id bigint not null,
    started_at timestamp not null,
    finished_at timestamp,
    through_load_id bigint not null,
    definition_sha256 varchar not null
);
insert into raw.builds values (1, '2026-11-26 00:13:29.596438', '2026-11-26 00:13:56.153043', 2, '5710f534a52b3746e3afbc3b12a6019ec723390f734cbfb6b9d7f3b270fd8244');

create table raw.landed_files (
    feed varchar not null,
    file_name varchar not null,
    content_sha256 varchar not null,
    bytes bigint not null,
    records bigint not null,
    landed bigint not null,
    rejected bigint not null,
    status varchar not null,
    reason varchar,
    landed_at timestamp not null,
    load_id bigint not null
);
insert into raw.landed_files values ('sends', 'sends/2026-10-01.jsonl', '27b24c7c3ed7fcb99ba2d8c4b7774f55e20a44067351354eb14a33d65796dcc2', 652, 4, 3, 1, 'landed', null, '2026-11-26 00:13:27.612150', 1);
insert into raw.landed_files values ('webhooks', 'webhooks/2026-10-01.jsonl', '65ad9a206a96848ab5a872c06915b5a40482975fa7a57f2ecf3fb64cca91397e', 880, 2, 2, 0, 'landed', null, '2026-11-26 00:13:28.122958', 2);

create table raw.landing_listing (
    feed varchar not null,
    file_name varchar not null,
    version varchar not null,
    content_sha256 varchar not null
);
insert into raw.landing_listing values ('sends', 'sends/2026-10-01.jsonl', '652/1795651993.5278087', '27b24c7c3ed7fcb99ba2d8c4b7774f55e20a44067351354eb14a33d65796dcc2');
insert into raw.landing_listing values ('webhooks', 'webhooks/2026-10-01.jsonl', '880/1795651993.8137422', '65ad9a206a96848ab5a872c06915b5a40482975fa7a57f2ecf3fb64cca91397e');

create table raw.rejected_records (
    feed varchar not null,
    file_name varchar not null,
    line_number bigint not null,
    reason varchar not null,
    record varchar,
    content_sha256 varchar not null,
    landed_at timestamp not null
);
insert into raw.rejected_records values ('sends', 'sends/2026-10-01.jsonl', 4, 'not JSON', 'not JSON', '27b24c7c3ed7fcb99ba2d8c4b7774f55e20a44067351354eb14a33d65796dcc2', '2026-11-26 00:13:27.607717');

create table raw.sends (
    message_id varchar not null,
    sent_at timestamp not null,
    channel_id varchar not null,
    contact_id varchar not null,
    template_name varchar,
    template_language varchar,
    notification_name varchar,
    line_number varchar,
    customer_id varchar,
    customer_created_at timestamp,
    agent_groups varchar,
    chat_link varchar,
    has_error boolean not null,
    error_code varchar,
    error_title varchar,
    error_details varchar,
    _file_name varchar not null,
    _line_number bigint not null,
    _line_md5 varchar not null,
    _landed_at timestamp not null,
    _load_id bigint not null
);
insert into raw.sends values ('wamid.1', '2026-10-01 12:00:00', '1', '5511987650001', 'welcome', 'pt_BR', null, null, null, null, null, null, false, null, null, null, 'sends/2026-10-01.jsonl', 1, '78d1985e8f68b1d9a965c0c80d1c0c01', '2026-11-26 00:13:27.607717', 1);
insert into raw.sends values ('wamid.2', '2026-10-01 13:00:00', '1', '+55 11 98765-0002', null, null, 'october', null, 'c2', '2026-09-30 00:00:00', 'sales', null, false, null, null, null, 'sends/2026-10-01.jsonl', 2, '2e8d22a4eaea65668e4c0db37f95ff8d', '2026-11-26 00:13:27.607717', 1);
insert into raw.sends values ('refused-3', '2026-10-01 14:00:00', '1', '5511987650003', 'welcome', null, null, null, null, null, null, null, true, '131026', 'Message undeliverable', 'not on WhatsApp', 'sends/2026-10-01.jsonl', 3, '2238d31cd665ab77f1d8da4e18b9b958', '2026-11-26 00:13:27.607717', 1);

create table raw.webhook_messages (
    message_id varchar not null,
    message_type varchar,
    happened_at timestamp not null,
    phone_number_id varchar,
    display_phone_number varchar,
    sender_id varchar not null,
    context_message_id varchar,
    has_referral boolean not null,
    referral_source_type varchar,
    referral_source_id varchar,
    _file_name varchar not null,
    _line_number bigint not null,
    _line_md5 varchar not null,
    _landed_at timestamp not null,
    _load_id bigint not null
);
insert into raw.webhook_messages values ('wamid.in1', 'text', '2026-10-01 12:01:40', '1', '551130000001', '5511987650001', 'wamid.1', false, null, null, 'webhooks/2026-10-01.jsonl', 1, '9d90937cac57cde6b2b14c3f11decb27', '2026-11-26 00:13:28.087901', 2);
insert into raw.webhook_messages values ('wamid.in2', 'reaction', '2026-10-01 12:03:20', '1', '551130000001', '5511987650001', null, false, null, null, 'webhooks/2026-10-01.jsonl', 1, '9d90937cac57cde6b2b14c3f11decb27', '2026-11-26 00:13:28.087901', 2);

create table raw.webhook_other_kinds (
    kind varchar not null,
    _file_name varchar not null,
    _line_number bigint not null,
    _line_md5 varchar not null,
    _landed_at timestamp not null,
    _load_id bigint not null
);
insert into raw.webhook_other_kinds values ('account_update', 'webhooks/2026-10-01.jsonl', 2, '07524b8f4d45dc391a48390bc893b278', '2026-11-26 00:13:28.087901', 2);

create table raw.webhook_statuses (
    message_id varchar not null,
    status varchar not null,
    happened_at timestamp not null,
    phone_number_id varchar,
    display_phone_number varchar,
    recipient_id varchar,
    error_code varchar,
    error_title varchar,
    error_message varchar,
    error_details varchar,
    _file_name varchar not null,
    _line_number bigint not null,
    _line_md5 varchar not null,
    _landed_at timestamp not null,
    _load_id bigint not null
);
insert into raw.webhook_statuses values ('wamid.1', 'delivered', '2026-10-01 12:00:10', '1', '551130000001', '5511987650001', null, null, null, null, 'webhooks/2026-10-01.jsonl', 1, '9d90937cac57cde6b2b14c3f11decb27', '2026-11-26 00:13:28.087901', 2);
insert into raw.webhook_statuses values ('wamid.2', 'failed', '2026-10-01 13:01:40', '1', '551130000001', '5511987650002', '131049', 'Held back', null, 'limit', 'webhooks/2026-10-01.jsonl', 1, '9d90937cac57cde6b2b14c3f11decb27', '2026-11-26 00:13:28.087901', 2);

create table marts.fct_session_starts (session_start_id varchar);
insert into marts.fct_session_starts values ('wamid.1');

-- A warehouse as commit deab5f7, the last one with contract version 1, wrote it: its raw tables with a few rows, and a mart.
create schema raw;
create schema marts;

create table raw.botmaker_channels (
    channel_id varchar not null,
    platform varchar,
    channel_name varchar,
    line_number varchar,
    _file_name varchar not null,
    _line_number bigint not null,
    _line_md5 varchar not null,
    _landed_at timestamp not null,
    _load_id bigint not null
);
insert into raw.botmaker_channels values ('line-1', 'whatsapp', 'Shop', '551130000009', 'botmaker/channels/1.jsonl', 1, '0abaeaa71593d9a4d1684340535db479', '2026-11-26 00:14:34.047959', 3);

create table raw.botmaker_sent_results (
    session_id varchar,
    notification_name varchar,
    sent_at timestamp,
    delivered_at timestamp,
    read_at timestamp,
    answered_at timestamp,
    error_at timestamp,
    _file_name varchar not null,
    _line_number bigint not null,
    _line_md5 varchar not null,
    _landed_at timestamp not null,
    _load_id bigint not null
);
insert into raw.botmaker_sent_results values ('CHAT1_2026-10-05T10:00:00Z', null, '2026-10-05 10:00:00', null, null, null, null, 'botmaker/sent_results/1.jsonl', 1, '19de3b4179f4cf3bb34785e4988acec4', '2026-11-26 00:14:33.291927', 2);

create table raw.botmaker_session_events (
    session_id varchar not null,
    name varchar not null,
    happened_at timestamp not null,
    message_id varchar,
    template_name varchar,
    reason varchar,
    error varchar,
    _file_name varchar not null,
    _line_number bigint not null,
    _line_md5 varchar not null,
    _landed_at timestamp not null,
    _load_id bigint not null
);
insert into raw.botmaker_session_events values ('CHAT1_2026-10-05T10:00:00Z', 'notification-sent', '2026-10-05 10:00:00', 'M1', 'w', null, null, 'botmaker/sessions/1.jsonl', 1, 'dd88edaab8e7b7411dbead2583ab5329', '2026-11-26 00:14:32.183491', 1);

create table raw.botmaker_session_messages (
    session_id varchar not null,
    message_id varchar not null,
    happened_at timestamp not null,
    sender varchar,
    template_name varchar,
    _file_name varchar not null,
    _line_number bigint not null,
    _line_md5 varchar not null,
    _landed_at timestamp not null,
    _load_id bigint not null
);
insert into raw.botmaker_session_messages values ('CHAT1_2026-10-05T10:00:00Z', 'M2', '2026-10-05 10:01:00', 'user', null, 'botmaker/sessions/1.jsonl', 1, 'dd88edaab8e7b7411dbead2583ab5329', '2026-11-26 00:14:32.183491', 1);

create table raw.botmaker_sessions (
    session_id varchar not null,
    created_at timestamp not null,
    starting_cause varchar,
    chat_id varchar not null,
    channel_id varchar not null,
    contact_id varchar not null,
    chat_created_at timestamp,
    is_tester boolean not null,
    events bigint not null,
    messages bigint not null,
    _file_name varchar not null,
    _line_number bigint not null,
    _line_md5 varchar not null,
    _landed_at timestamp not null,
    _load_id bigint not null
);
insert into raw.botmaker_sessions values ('CHAT1_2026-10-05T10:00:00Z', '2026-10-05 10:00:00', 'WhatsAppTemplate', 'CHAT1', 'line-1', '5511987650004', null, false, 1, 1, 'botmaker/sessions/1.jsonl', 1, 'dd88edaab8e7b7411dbead2583ab5329', '2026-11-26 00:14:32.183491', 1);

create table raw.builds (
    build_id bigint not null,
    started_at timestamp not null,
    finished_at timestamp,
    through_load_id bigint not null,
    definition_sha256 varchar not null
);
insert into raw.builds values (1, '2026-11-26 00:14:36.389857', '2026-11-26 00:15:13.472478', 5, '97536e7d6827b8ce97ca2e5efb7e6fb79d9ec6d726ffa662a47389aaa895e08d');

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
insert into raw.landed_files values ('botmaker/sessions', 'botmaker/sessions/1.jsonl', 'b7e6016f1fcefc8575b1966248826fb6a9da4b915c509df382f3cb584f52c550', 442, 1, 1, 0, 'landed', null, '2026-11-26 00:14:32.256073', 1);
insert into raw.landed_files values ('botmaker/sent_results', 'botmaker/sent_results/1.jsonl', '807678410cdf04aa3c4db5c0301ed759ddc55120ed7dcb002493a15fcb599100', 126, 2, 1, 1, 'landed', null, '2026-11-26 00:14:33.367585', 2);
insert into raw.landed_files values ('botmaker/channels', 'botmaker/channels/1.jsonl', '3d6c4f4e2fb11f35efd9caa7577bd1c5270d4b06e1fcdf67bdc751fa4fe82861', 83, 1, 1, 0, 'landed', null, '2026-11-26 00:14:34.057816', 3);
insert into raw.landed_files values ('sends', 'sends/2026-10-01.jsonl', '27b24c7c3ed7fcb99ba2d8c4b7774f55e20a44067351354eb14a33d65796dcc2', 652, 4, 3, 1, 'landed', null, '2026-11-26 00:14:34.524078', 4);
insert into raw.landed_files values ('webhooks', 'webhooks/2026-10-01.jsonl', '65ad9a206a96848ab5a872c06915b5a40482975fa7a57f2ecf3fb64cca91397e', 880, 2, 2, 0, 'landed', null, '2026-11-26 00:14:35.011290', 5);

create table raw.landing_listing (
    feed varchar not null,
    file_name varchar not null,
    version varchar not null,
    content_sha256 varchar not null
);
insert into raw.landing_listing values ('botmaker/sessions', 'botmaker/sessions/1.jsonl', '442/1795651993.8140078', 'b7e6016f1fcefc8575b1966248826fb6a9da4b915c509df382f3cb584f52c550');
insert into raw.landing_listing values ('botmaker/sent_results', 'botmaker/sent_results/1.jsonl', '126/1795651993.8140619', '807678410cdf04aa3c4db5c0301ed759ddc55120ed7dcb002493a15fcb599100');
insert into raw.landing_listing values ('botmaker/channels', 'botmaker/channels/1.jsonl', '83/1795651993.8140965', '3d6c4f4e2fb11f35efd9caa7577bd1c5270d4b06e1fcdf67bdc751fa4fe82861');
insert into raw.landing_listing values ('sends', 'sends/2026-10-01.jsonl', '652/1795651993.8367758', '27b24c7c3ed7fcb99ba2d8c4b7774f55e20a44067351354eb14a33d65796dcc2');
insert into raw.landing_listing values ('webhooks', 'webhooks/2026-10-01.jsonl', '880/1795651993.8368645', '65ad9a206a96848ab5a872c06915b5a40482975fa7a57f2ecf3fb64cca91397e');

create table raw.rejected_records (
    feed varchar not null,
    file_name varchar not null,
    line_number bigint not null,
    reason varchar not null,
    record varchar,
    content_sha256 varchar not null,
    landed_at timestamp not null
);
insert into raw.rejected_records values ('botmaker/sent_results', 'botmaker/sent_results/1.jsonl', 2, 'sessionId: missing', '{"notificationId": "n", "status": {}}', '807678410cdf04aa3c4db5c0301ed759ddc55120ed7dcb002493a15fcb599100', '2026-11-26 00:14:33.291927');
insert into raw.rejected_records values ('sends', 'sends/2026-10-01.jsonl', 4, 'not JSON', 'not JSON', '27b24c7c3ed7fcb99ba2d8c4b7774f55e20a44067351354eb14a33d65796dcc2', '2026-11-26 00:14:34.511442');

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
insert into raw.sends values ('wamid.1', '2026-10-01 12:00:00', '1', '5511987650001', 'welcome', 'pt_BR', null, null, null, null, null, null, false, null, null, null, 'sends/2026-10-01.jsonl', 1, '78d1985e8f68b1d9a965c0c80d1c0c01', '2026-11-26 00:14:34.511442', 4);
insert into raw.sends values ('wamid.2', '2026-10-01 13:00:00', '1', '+55 11 98765-0002', null, null, 'october', null, 'c2', '2026-09-30 00:00:00', 'sales', null, false, null, null, null, 'sends/2026-10-01.jsonl', 2, '2e8d22a4eaea65668e4c0db37f95ff8d', '2026-11-26 00:14:34.511442', 4);
insert into raw.sends values ('refused-3', '2026-10-01 14:00:00', '1', '5511987650003', 'welcome', null, null, null, null, null, null, null, true, '131026', 'Message undeliverable', 'not on WhatsApp', 'sends/2026-10-01.jsonl', 3, '2238d31cd665ab77f1d8da4e18b9b958', '2026-11-26 00:14:34.511442', 4);

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
insert into raw.webhook_messages values ('wamid.in1', 'text', '2026-10-01 12:01:40', '1', '551130000001', '5511987650001', 'wamid.1', false, null, null, 'webhooks/2026-10-01.jsonl', 1, '9d90937cac57cde6b2b14c3f11decb27', '2026-11-26 00:14:34.988444', 5);
insert into raw.webhook_messages values ('wamid.in2', 'reaction', '2026-10-01 12:03:20', '1', '551130000001', '5511987650001', null, false, null, null, 'webhooks/2026-10-01.jsonl', 1, '9d90937cac57cde6b2b14c3f11decb27', '2026-11-26 00:14:34.988444', 5);

create table raw.webhook_other_kinds (
    kind varchar not null,
    _file_name varchar not null,
    _line_number bigint not null,
    _line_md5 varchar not null,
    _landed_at timestamp not null,
    _load_id bigint not null
);
insert into raw.webhook_other_kinds values ('account_update', 'webhooks/2026-10-01.jsonl', 2, '07524b8f4d45dc391a48390bc893b278', '2026-11-26 00:14:34.988444', 5);

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
insert into raw.webhook_statuses values ('wamid.1', 'delivered', '2026-10-01 12:00:10', '1', '551130000001', '5511987650001', null, null, null, null, 'webhooks/2026-10-01.jsonl', 1, '9d90937cac57cde6b2b14c3f11decb27', '2026-11-26 00:14:34.988444', 5);
insert into raw.webhook_statuses values ('wamid.2', 'failed', '2026-10-01 13:01:40', '1', '551130000001', '5511987650002', '131049', 'Held back', null, 'limit', 'webhooks/2026-10-01.jsonl', 1, '9d90937cac57cde6b2b14c3f11decb27', '2026-11-26 00:14:34.988444', 5);

create table marts.fct_session_starts (session_start_id varchar);
insert into marts.fct_session_starts values ('wamid.1');

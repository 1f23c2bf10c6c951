-- The landed records as typed columns: append-only, each row with its source. The files themselves remain the payload of record. All
-- times are UTC.
create schema if not exists raw;

create table if not exists raw.landed_files (
    feed varchar not null,
    file_name varchar not null,
    content_sha256 varchar not null,
    bytes bigint not null,
    records bigint not null,
    landed bigint not null,
    rejected bigint not null,
    erased bigint not null,
    status varchar not null,
    reason varchar,
    landed_at timestamp not null,
    load_id bigint not null,
    reader_version integer not null
);

-- The content of each file name at the last listing, so that a run reads only new or changed files.
create table if not exists raw.landing_listing (
    feed varchar not null,
    file_name varchar not null,
    version varchar not null,
    content_sha256 varchar not null
);

create table if not exists raw.rejected_records (
    feed varchar not null,
    file_name varchar not null,
    line_number bigint not null,
    reason varchar not null,
    record varchar,
    content_sha256 varchar not null,
    landed_at timestamp not null
);

create table if not exists raw.sends (
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
    _landed_at timestamp not null,
    _load_id bigint not null
);

create table if not exists raw.webhook_statuses (
    message_id varchar not null,
    status varchar not null,
    happened_at timestamp not null,
    phone_number_id varchar,
    display_phone_number varchar,
    recipient_id varchar,
    recipient_user_id varchar,
    recipient_parent_user_id varchar,
    pricing_model varchar,
    pricing_category varchar,
    pricing_type varchar,
    pricing_billable boolean,
    error_code varchar,
    error_title varchar,
    error_message varchar,
    error_details varchar,
    _file_name varchar not null,
    _line_number bigint not null,
    _landed_at timestamp not null,
    _load_id bigint not null
);

create table if not exists raw.webhook_messages (
    message_id varchar not null,
    message_type varchar,
    happened_at timestamp not null,
    phone_number_id varchar,
    display_phone_number varchar,
    sender_id varchar not null,
    sender_user_id varchar,
    sender_parent_user_id varchar,
    context_message_id varchar,
    reaction_message_id varchar,
    has_reaction_emoji boolean not null,
    is_in_group boolean not null,
    has_referral boolean not null,
    referral_source_type varchar,
    referral_source_id varchar,
    _file_name varchar not null,
    _line_number bigint not null,
    _landed_at timestamp not null,
    _load_id bigint not null
);

-- Messages that the business wrote from its own phone: session messages that are in no send log.
create table if not exists raw.webhook_echoes (
    message_id varchar not null,
    message_type varchar,
    happened_at timestamp not null,
    phone_number_id varchar,
    display_phone_number varchar,
    sender_id varchar,
    recipient_id varchar not null,
    _file_name varchar not null,
    _line_number bigint not null,
    _landed_at timestamp not null,
    _load_id bigint not null
);

-- Two or more identifiers of one person that are together in one element: in an element of contacts[], or in a notice of a changed
-- number or user id. The identifiers of a status or message are columns of its own table.
create table if not exists raw.webhook_identities (
    kind varchar not null,
    wa_id varchar,
    user_id varchar,
    parent_user_id varchar,
    previous_wa_id varchar,
    previous_user_id varchar,
    previous_parent_user_id varchar,
    _file_name varchar not null,
    _line_number bigint not null,
    _landed_at timestamp not null,
    _load_id bigint not null
);

-- A line's channel id and number, from the metadata of items that are only counted. For items that land, both are in the item's own
-- table.
create table if not exists raw.webhook_channels (
    phone_number_id varchar not null,
    display_phone_number varchar not null,
    _file_name varchar not null,
    _line_number bigint not null,
    _landed_at timestamp not null,
    _load_id bigint not null
);

-- Items that WhatsApp posts and the report does not use: counted, not lost.
create table if not exists raw.webhook_other_kinds (
    kind varchar not null,
    _file_name varchar not null,
    _line_number bigint not null,
    _landed_at timestamp not null,
    _load_id bigint not null
);

-- Botmaker's sessions without the texts of messages: who, when, what started them, and how many events and messages they have.
create table if not exists raw.botmaker_sessions (
    session_id varchar not null,
    created_at timestamp not null,
    starting_cause varchar,
    chat_id varchar not null,
    channel_id varchar not null,
    contact_id varchar,
    user_id varchar,
    parent_user_id varchar,
    chat_created_at timestamp,
    is_tester boolean not null,
    events bigint not null,
    messages bigint not null,
    _file_name varchar not null,
    _line_number bigint not null,
    _landed_at timestamp not null,
    _load_id bigint not null
);

create table if not exists raw.botmaker_session_events (
    session_id varchar not null,
    name varchar not null,
    happened_at timestamp not null,
    message_id varchar,
    template_name varchar,
    reason varchar,
    error varchar,
    _file_name varchar not null,
    _line_number bigint not null,
    _landed_at timestamp not null,
    _load_id bigint not null
);

create table if not exists raw.botmaker_session_messages (
    session_id varchar not null,
    message_id varchar not null,
    happened_at timestamp not null,
    sender varchar,
    template_name varchar,
    _file_name varchar not null,
    _line_number bigint not null,
    _landed_at timestamp not null,
    _load_id bigint not null
);

create table if not exists raw.botmaker_sent_results (
    session_id varchar,
    contact_id varchar,
    notification_name varchar,
    sent_at timestamp,
    delivered_at timestamp,
    read_at timestamp,
    answered_at timestamp,
    error_at timestamp,
    _file_name varchar not null,
    _line_number bigint not null,
    _landed_at timestamp not null,
    _load_id bigint not null
);

create table if not exists raw.botmaker_channels (
    channel_id varchar not null,
    platform varchar,
    channel_name varchar,
    line_number varchar,
    _file_name varchar not null,
    _line_number bigint not null,
    _landed_at timestamp not null,
    _load_id bigint not null
);

-- Prices per message from the rate cards. `effective_from` is the first day on which a price applies, `currency` is an ISO code.
create table if not exists raw.rates (
    effective_from date not null,
    currency varchar not null,
    market varchar not null,
    category varchar not null,
    rate decimal(18, 8) not null,
    _file_name varchar not null,
    _line_number bigint not null,
    _landed_at timestamp not null,
    _load_id bigint not null
);

-- The state that runs keep.
create schema if not exists state;

-- One row per attempt to build the marts; `finished_at` is set only when every check has passed.
create table if not exists state.builds (
    build_id bigint not null,
    started_at timestamp not null,
    finished_at timestamp,
    through_load_id bigint not null,
    definition_sha256 varchar not null
);

-- Files and folders that look like data but were not read by the last run, by feed; `feed` is empty for those in no feed's folder.
create table if not exists state.files_passed_over (
    feed varchar not null,
    name varchar not null,
    reason varchar not null
);

-- The dbt variables of the last full build of the marts.
create table if not exists state.variables (
    name varchar not null,
    value varchar not null
);

-- The report days on which a fact changed, each with the number of its latest change.
create table if not exists state.changed_days (
    fact varchar not null,
    session_start_date date not null,
    change_number bigint not null
);

-- The latest change in the facts that each daily mart, and the checks, have processed.
create table if not exists state.watermarks (
    consumer varchar not null,
    change_number bigint not null
);

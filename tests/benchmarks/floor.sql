-- The floor: the fastest hand-written script we know for the same TSV columns from the same files. It has no staging, no tests and no
-- state; it trusts every line, ignores duplicates of a send and ties, and keeps nothing. The job exists for what this script leaves out.
set timezone = 'UTC';
set preserve_insertion_order = false;

create temp table sends as
select
    message_id,
    case
        when try_cast(sent_at as bigint) > 100000000000 then make_timestamp(sent_at::bigint * 1000)
        when try_cast(sent_at as bigint) is not null then make_timestamp(sent_at::bigint * 1000000)
        else sent_at::timestamptz at time zone 'UTC'
    end as sent_at,
    hash(channel_id, regexp_replace(contact_id, '^\+', '')) as conversation,
    channel_id, regexp_replace(contact_id, '^\+', '') as contact_id, regexp_replace(line_number, '[^0-9]', '', 'g') as line_number,
    customer_id, coalesce(notification_name, template_name) as name, notification_name is not null as is_bulk,
    notification_name is not null or template_name is not null as is_notification,
    agent_groups, chat_link, customer_created_at::timestamptz at time zone 'UTC' as customer_created_at, error
from read_json('{sends}', format = 'newline_delimited', columns = {{
    message_id: 'VARCHAR', sent_at: 'VARCHAR', channel_id: 'VARCHAR', contact_id: 'VARCHAR', line_number: 'VARCHAR',
    template_name: 'VARCHAR', notification_name: 'VARCHAR', customer_id: 'VARCHAR', customer_created_at: 'VARCHAR',
    agent_groups: 'VARCHAR', chat_link: 'VARCHAR', error: 'STRUCT(code BIGINT, title VARCHAR, details VARCHAR)'
}});

create temp table items as
with changes as (
    select unnest(entry[1].changes) as change
    from read_json('{webhooks}', format = 'newline_delimited', columns = {{entry: '
        STRUCT(changes STRUCT("value" STRUCT(
            metadata STRUCT(phone_number_id VARCHAR),
            statuses STRUCT(id VARCHAR, status VARCHAR, "timestamp" VARCHAR, errors STRUCT(code BIGINT, title VARCHAR, error_data STRUCT(details VARCHAR))[])[],
            messages STRUCT("from" VARCHAR, from_user_id VARCHAR, id VARCHAR, "timestamp" VARCHAR, "type" VARCHAR, context STRUCT(id VARCHAR), referral STRUCT(source_type VARCHAR))[]
        ))[])[]
    '}})
)
select change.value.metadata.phone_number_id as channel_id, unnest(change.value.statuses) as s, unnest(change.value.messages) as m from changes;

create temp table states as
select
    s.id as message_id,
    min(make_timestamp(s.timestamp::bigint * 1000000)) filter (s.status = 'sent') as sent_status_at,
    min(make_timestamp(s.timestamp::bigint * 1000000)) filter (s.status = 'delivered') as delivered_at,
    min(make_timestamp(s.timestamp::bigint * 1000000)) filter (s.status = 'read') as read_at,
    min(make_timestamp(s.timestamp::bigint * 1000000)) filter (s.status = 'failed') as failed_at,
    any_value(s.errors[1]) filter (s.status = 'failed') as failure
from items where s is not null group by s.id;

create temp table messages as
select
    m.id, m.type, make_timestamp(m.timestamp::bigint * 1000000) as happened_at, m.context.id as context_id, m.referral.source_type as referral,
    channel_id, coalesce(m.from, m.from_user_id) as contact_id, hash(channel_id, coalesce(m.from, m.from_user_id)) as conversation
from items where m is not null;

create temp table checked as
select
    sends.message_id, conversation, sent_at, is_notification, states.* exclude (message_id), q.replied_at as quoted_at,
    (error is not null or failed_at is not null) and delivered_at is null and read_at is null and q.context_id is null as is_not_sent
from sends
left join states using (message_id)
left join (select context_id, min(happened_at) as replied_at from messages where context_id is not null and type <> 'system' group by 1) as q
    on q.context_id = sends.message_id;

create temp table moments as
with unioned as (
    select message_id as id, conversation, sent_at as happened_at, true as is_send, case when not is_not_sent then sent_at end as activity_at,
        case when not is_not_sent and is_notification then sent_at end as notification_at, null as type, null as context_id
    from checked
    union all
    select id, conversation, happened_at, false, happened_at, null, type, context_id from messages
),
ordered as (
    select *,
        max(activity_at) over (partition by conversation order by happened_at rows between unbounded preceding and 1 preceding) as previous_at,
        max(notification_at) over (partition by conversation order by happened_at range between unbounded preceding and current row) as last_notification_at
    from unioned
)
select *,
    previous_at is null or happened_at > previous_at + interval 24 hour as is_start,
    min(activity_at) over (partition by conversation) as first_at
from ordered;

create temp table replies as
select conversation, last_notification_at as sent_at, min(happened_at) as replied_at
from moments
where not is_send and type <> 'system' and context_id is null and happened_at <= last_notification_at + interval 24 hour
group by all;

copy (
    select
        s.customer_id, coalesce(s.contact_id, m.contact_id) as contact_id,
        date_trunc('second', timezone('America/Sao_Paulo', timezone('UTC', o.happened_at))) as session_started_at,
        coalesce(s.channel_id, m.channel_id) as channel_id,
        o.happened_at <= coalesce(o.first_at, o.happened_at) and coalesce(s.customer_created_at >= o.happened_at - interval 60 second, true) as is_new_user,
        s.name as template_or_notification_name,
        coalesce(j.is_not_sent, false) as is_not_sent,
        coalesce(not j.is_not_sent and coalesce(j.sent_status_at, j.delivered_at, j.read_at, least(j.quoted_at, r.replied_at)) is not null, false) as is_sent,
        coalesce(j.delivered_at, j.read_at, j.quoted_at, r.replied_at) is not null as is_delivered,
        coalesce(j.read_at, j.quoted_at, r.replied_at) is not null as is_read,
        coalesce(j.quoted_at, r.replied_at) is not null as is_replied,
        case when j.is_not_sent then coalesce(s.error.title, j.failure.title) end as failure_reason,
        case when j.is_not_sent then coalesce(s.error.details, j.failure.error_data.details) end as failure_detail,
        date_trunc('second', timezone('America/Sao_Paulo', timezone('UTC', s.sent_at))) as sent_at,
        date_trunc('second', timezone('America/Sao_Paulo', timezone('UTC', j.delivered_at))) as delivered_at,
        date_trunc('second', timezone('America/Sao_Paulo', timezone('UTC', j.read_at))) as read_at,
        date_trunc('second', timezone('America/Sao_Paulo', timezone('UTC', least(j.quoted_at, r.replied_at)))) as replied_at,
        s.agent_groups,
        case when j.is_not_sent then 'not_sent' when coalesce(j.quoted_at, r.replied_at) is not null then 'replied' when j.read_at is not null then 'read'
            when j.delivered_at is not null then 'delivered' when j.sent_status_at is not null then 'sent' when s.message_id is not null then 'pending' end as last_status,
        case when s.is_bulk then 'mass_notification' when s.name is not null then 'whatsapp_template' else 'referred_campaign' end as origin,
        s.line_number, case when j.is_not_sent then coalesce(s.error.code, j.failure.code) end as failure_code,
        o.id as session_start_id, s.chat_link
    from moments as o
    left join sends as s on o.id = s.message_id
    left join checked as j on o.id = j.message_id
    left join replies as r on o.conversation = r.conversation and s.sent_at = r.sent_at
    left join messages as m on o.id = m.id
    where o.is_start and (s.is_notification or m.referral is not null)
    order by s.sent_at, o.id
) to '{tsv}' (format csv, header true, delimiter '\t', nullstr '');

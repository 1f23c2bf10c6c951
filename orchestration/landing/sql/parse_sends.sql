-- The lines of a batch as typed sends (contract, section 2); `problem` is the reason why a line is rejected, or null.
create or replace temp table parsed_sends as
with readable_lines as (
    select *, readable_json(line) as json
    from lines
),

parsed as (
    select
        file_index,
        record_number,
        line_number,
        coalesce(line, undecodable) as line,
        undecodable is not null as is_undecodable,
        lenient_problem(line) as lenient_problem,
        try(from_json(json, '{
            "message_id": "VARCHAR", "sent_at": "VARCHAR", "channel_id": "VARCHAR", "contact_id": "VARCHAR",
            "template_name": "VARCHAR", "template_language": "VARCHAR", "notification_name": "VARCHAR",
            "line_number": "VARCHAR", "customer_id": "VARCHAR", "customer_created_at": "VARCHAR",
            "agent_groups": "VARCHAR", "chat_link": "VARCHAR",
            "error": {
                "code": "VARCHAR", "title": "VARCHAR", "details": "VARCHAR",
                "message": "VARCHAR", "error_data": {"details": "VARCHAR"}
            }
        }')) as send,
        try(json_type(json, [
            '$.message_id', '$.sent_at', '$.channel_id', '$.contact_id',
            '$.template_name', '$.template_language', '$.notification_name',
            '$.line_number', '$.customer_id', '$.customer_created_at',
            '$.agent_groups', '$.chat_link', '$.error', '$'
        ])) as types
    from readable_lines
),

timed as (
    select
        *,
        time_of(send.sent_at, types[2]) as sent_at,
        time_of(send.customer_created_at, types[10]) as customer_created_at,
        nullif(send.error.code, '') as error_code,
        -- Meta's own error object has these texts in `message` and `error_data.details`.
        coalesce(nullif(send.error.title, ''), nullif(send.error.message, '')) as error_title,
        coalesce(nullif(send.error.details, ''), nullif(send.error.error_data.details, '')) as error_details
    from parsed
),

checked as (
    select
        *,
        case
            when is_undecodable then 'not UTF-8'
            when types is null then 'not JSON'
            when lenient_problem is not null then lenient_problem
            when types[14] <> 'OBJECT' then 'not a JSON object'
            when trim(coalesce(send.message_id, '')) = '' then 'message_id: missing'
            when types[1] <> 'VARCHAR' then 'message_id: not a string'
            when send.sent_at is null then 'sent_at: missing'
            when sent_at is null then 'sent_at: neither ISO 8601 with an offset nor Unix seconds or milliseconds'
            when trim(coalesce(send.channel_id, '')) = '' then 'channel_id: missing'
            when types[3] <> 'VARCHAR' then 'channel_id: not a string'
            when trim(coalesce(send.contact_id, '')) = '' then 'contact_id: missing'
            when types[4] <> 'VARCHAR' then 'contact_id: not a string'
            when types[5] not in ('VARCHAR', 'NULL') then 'template_name: not a string'
            when types[6] not in ('VARCHAR', 'NULL') then 'template_language: not a string'
            when types[7] not in ('VARCHAR', 'NULL') then 'notification_name: not a string'
            when not is_text_or_whole_number(send.line_number, types[8]) then 'line_number: neither a string nor a whole number'
            when not is_text_or_whole_number(send.customer_id, types[9]) then 'customer_id: neither a string nor a whole number'
            when types[10] <> 'NULL' and customer_created_at is null and trim(send.customer_created_at) <> ''
                then 'customer_created_at: neither ISO 8601 with an offset nor Unix seconds or milliseconds'
            when types[11] not in ('VARCHAR', 'ARRAY', 'NULL') then 'agent_groups: neither a string nor a list of strings'
            when types[12] not in ('VARCHAR', 'NULL') then 'chat_link: not a string'
            when types[13] not in ('OBJECT', 'NULL') then 'error: not an object'
        end as problem
    from timed
)

select
    file_index,
    record_number,
    line_number,
    problem,
    case when problem is not null then line end as record,
    send.message_id as message_id,
    sent_at,
    send.channel_id as channel_id,
    send.contact_id as contact_id,
    nullif(send.template_name, '') as template_name,
    nullif(send.template_language, '') as template_language,
    nullif(send.notification_name, '') as notification_name,
    nullif(send.line_number, '') as line_number_of_channel,
    nullif(send.customer_id, '') as customer_id,
    customer_created_at,
    nullif(
        case
            when types[11] = 'ARRAY' then array_to_string(from_json(send.agent_groups, '["VARCHAR"]'), ', ')
            else send.agent_groups
        end,
        ''
    ) as agent_groups,
    nullif(send.chat_link, '') as chat_link,
    coalesce(error_code, error_title, error_details) is not null as has_error,
    error_code,
    error_title,
    error_details
from checked;

create or replace temp view parsed_records as
select file_index, record_number, line_number, problem, record
from parsed_sends;

-- The results of bulk notifications, one row per customer: https://api.botmaker.com/v2.0,
-- `GET /notifications/sent-results/{notificationInstanceId}`. A page has the notification's name once for all customers. Every field
-- is optional in the API: a customer who was not reached may have no session, and that must not block a report.
create or replace temp table parsed_botmaker_sent_results as
with parsed as (
    select
        * exclude (notification_name),
        notification_name as page_notification_name,
        case when line_problem is null then try(from_json(record, '{
            "sessionId": "VARCHAR", "customerId": "VARCHAR", "contactId": "VARCHAR", "notificationName": "VARCHAR", "notification": {"notificationName": "VARCHAR"},
            "status": {"sent": "VARCHAR", "delivered": "VARCHAR", "read": "VARCHAR", "answered": "VARCHAR", "error": "VARCHAR"}
        }')) end as result,
        case when line_problem is null then json_type(record, [
            '$', '$.sessionId', '$.status', '$.status.sent', '$.status.delivered', '$.status.read', '$.status.answered', '$.status.error'
        ]) end as types
    from paged_records
),

checked as (
    select
        *,
        case
            when line_problem is not null then line_problem
            when types[1] <> 'OBJECT' then 'not a JSON object'
            when types[3] not in ('OBJECT', 'NULL') then 'status: not an object'
            else coalesce(
                case
                    when types[2] not in ('VARCHAR', 'NULL') then 'sessionId: not a string'
                    when coalesce(nullif(trim(result.sessionId), ''), result.customerId, result.contactId) is null then 'sessionId: missing'
                end,
                problem_of_time('status.sent', result.status.sent, types[4]),
                problem_of_time('status.delivered', result.status.delivered, types[5]),
                problem_of_time('status.read', result.status.read, types[6]),
                problem_of_time('status.answered', result.status.answered, types[7]),
                problem_of_time('status.error', result.status.error, types[8])
            )
        end as problem
    from parsed
)

select
    file_index,
    record_number,
    line_number,
    problem,
    case when problem is not null then record end as record,
    nullif(trim(result.sessionId), '') as session_id,
    nullif(result.contactId, '') as contact_id,
    coalesce(
        nullif(result.notificationName, ''), nullif(result.notification.notificationName, ''), nullif(page_notification_name, '')
    ) as notification_name,
    readable_time(iso_time(result.status.sent)) as sent_at,
    readable_time(iso_time(result.status.delivered)) as delivered_at,
    readable_time(iso_time(result.status.read)) as read_at,
    readable_time(iso_time(result.status.answered)) as answered_at,
    readable_time(iso_time(result.status.error)) as error_at
from checked;

create or replace temp view parsed_records as
select file_index, record_number, line_number, problem, record
from parsed_botmaker_sent_results;

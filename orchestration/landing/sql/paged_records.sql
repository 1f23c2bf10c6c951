-- The records of the batch's `lines`: the line itself, or each element of a page's list. An empty page has no records. A page of sent
-- results has the notification's name beside the list.
create or replace temp view paged_records as
with readable_lines as (
    select *, readable_json(line) as json
    from lines
),

lines_typed as (
    select
        file_index,
        record_number,
        line_number,
        coalesce(line, undecodable) as line,
        json,
        line is null as is_undecodable,
        lenient_problem(line) as lenient_problem,
        try(json_type(json, ['$', '$.items', '$.customers'])) as types
    from readable_lines
),

lines_checked as (
    select
        *,
        coalesce(types[2], types[3]) is not null as is_page,
        case
            when is_undecodable then 'not UTF-8'
            when types is null then 'not JSON'
            when lenient_problem is not null then lenient_problem
            when types[1] <> 'OBJECT' then 'not a JSON object'
            when types[2] not in ('ARRAY', 'NULL') then 'items: not a list'
            when types[3] not in ('ARRAY', 'NULL') then 'customers: not a list'
        end as line_problem
    from lines_typed
),

pages as (
    select
        file_index,
        record_number,
        line_number,
        is_page,
        line_problem,
        case when is_page and line_problem is null then json_extract_string(json, '$.notification.notificationName') end as notification_name,
        case
            when line_problem is not null then [line]
            when not is_page then [json]
            when types[3] = 'ARRAY' then json_extract(json, '$.customers[*]')::varchar[]
            else json_extract(json, '$.items[*]')::varchar[]
        end as records
    from lines_checked
)

select
    file_index,
    -- Unique within its file; the records of a page share the number of their line.
    (record_number << 32) + unnest(range(len(records))) as record_number,
    line_number,
    line_problem,
    notification_name,
    unnest(records) as record
from pages;

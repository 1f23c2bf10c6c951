-- The records of the batch's `lines`: the line itself, or each element of a page's list, with the md5 of
-- its own text. An empty page holds none. A page of sent results names its notification beside the list.
create or replace temp view paged_records as
with lines_typed as (
    select
        file_index,
        record_number,
        line_number,
        coalesce(line, undecodable) as line,
        line is null as is_undecodable,
        try(json_type(line, ['$', '$.items', '$.customers'])) as types
    from lines
),

lines_judged as (
    select
        *,
        coalesce(types[2], types[3]) is not null as is_page,
        case
            when is_undecodable then 'not UTF-8'
            when types is null then 'not JSON'
            when types[1] <> 'OBJECT' then 'not a JSON object'
            when has_stray_comma(line) then 'not JSON: a comma before a closing bracket'
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
        case when is_page and line_problem is null then json_extract_string(line, '$.notification.notificationName') end as notification_name,
        case
            when line_problem is not null or not is_page then [line]
            when types[3] = 'ARRAY' then json_extract(line, '$.customers[*]')::varchar[]
            else json_extract(line, '$.items[*]')::varchar[]
        end as records
    from lines_judged
)

select
    file_index,
    -- Unique in its file; the records of a page share the number of their line.
    (record_number << 32) + unnest(range(len(records))) as record_number,
    line_number,
    line_problem,
    notification_name,
    unnest(records) as record
from pages;

-- Botmaker's channels, for the numbers of the lines: https://api.botmaker.com/v2.0, `GET /channels`.
create or replace temp table parsed_botmaker_channels as
with parsed as (
    select
        * exclude (notification_name),
        case when line_problem is null then try(from_json(record, '{
            "id": "VARCHAR", "platform": "VARCHAR", "name": "VARCHAR", "number": "VARCHAR"
        }')) end as channel,
        case when line_problem is null then json_type(record, ['$', '$.id', '$.number']) end as types
    from paged_records
),

checked as (
    select
        *,
        case
            when line_problem is not null then line_problem
            when types[1] <> 'OBJECT' then 'not a JSON object'
            else coalesce(
                problem_of_text('id', channel.id, types[2]),
                case when not is_text_or_whole_number(channel.number, types[3]) then 'number: neither a string nor a whole number' end
            )
        end as problem
    from parsed
)

select
    file_index,
    record_number,
    line_number,
    problem,
    -- Channels of other kinds have a secret token, which stays in the file.
    case when problem is not null then regexp_replace(record, '("[^"]*token"\s*:\s*")(?:[^"\\]|\\.)*"', '\1…"', 'gi') end as record,
    channel.id as channel_id,
    nullif(channel.platform, '') as platform,
    nullif(channel.name, '') as channel_name,
    nullif(channel.number, '') as line_number_of_channel
from checked;

create or replace temp view parsed_records as
select file_index, record_number, line_number, problem, record
from parsed_botmaker_channels;

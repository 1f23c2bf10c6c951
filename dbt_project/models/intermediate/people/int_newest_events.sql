{{ config(materialized='view') }}

with lines_seen as (

    select * from {{ ref('int_lines_seen') }}

),

lines_identified as (

    select * from {{ ref('int_lines_identified') }}

),

final as (

    select
        lines_seen.feed,
        lines_identified.channel_id,
        max(lines_identified.line_number) as line_number,
        max(lines_seen.newest_event_at) as newest_event_at
    from lines_seen
    inner join lines_identified
        on lines_seen.given_channel_id = lines_identified.given_channel_id
        and lines_seen.given_line_number = lines_identified.given_line_number
    where lines_seen.newest_event_at is not null
    group by lines_seen.feed, lines_identified.channel_id

)

select * from final

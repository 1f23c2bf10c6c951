with lines_identified as (

    select * from {{ ref('int_lines_identified') }}

),

channels as (

    select * from {{ ref('channels') }}

),

-- A number that the seed gives to another channel was seen for the channel it came with all the same.
sightings as (

    select channel_id, given_line_number, first_load_id from lines_identified
    union all
    select given_channel_id as channel_id, given_line_number, first_load_id from lines_identified

),

line_numbers_seen as (

    select
        channel_id,
        given_line_number as line_number,
        min(first_load_id) as first_load_id
    from sightings
    where given_line_number <> ''
    group by channel_id, given_line_number

),

smallest_line_numbers as (

    select
        channel_id,
        min(line_number) as line_number,
        min_by(first_load_id, line_number) as first_load_id
    from line_numbers_seen
    group by channel_id

),

channels_seen as (

    select distinct channel_id from lines_identified

),

final as (

    select
        channels_seen.channel_id,
        channels.channel_name,
        coalesce(nullif({{ digits_only('channels.line_number') }}, ''), smallest_line_numbers.line_number) as line_number,
        coalesce(channels.platform, 'whatsapp') as platform,
        -- The load that brought today's number: rows written before it carry another one.
        coalesce(smallest_line_numbers.first_load_id, 0) as numbered_by_load_id
    from channels_seen
    left join channels
        on channels_seen.channel_id = channels.channel_id
    left join smallest_line_numbers
        on channels_seen.channel_id = smallest_line_numbers.channel_id

)

select * from final

with lines_seen as (

    select * from {{ ref('int_lines_seen') }}

),

channels as (

    select channel_id, {{ digits_only('line_number') }} as line_number from {{ ref('channels') }}

),

-- Two channels of one line number: the smaller id stands for the line.
channels_by_line as (

    select line_number, min(channel_id) as channel_id
    from channels
    where line_number <> ''
    group by line_number

),

final as (

    select
        lines_seen.given_channel_id,
        lines_seen.given_line_number,
        lines_seen.first_load_id,
        coalesce(
            channels.channel_id,
            by_given_id.channel_id,
            by_given_line.channel_id,
            nullif(lines_seen.given_channel_id, ''),
            lines_seen.given_line_number
        ) as channel_id
    from lines_seen
    left join channels
        on lines_seen.given_channel_id = channels.channel_id
    left join channels_by_line as by_given_id
        on {{ comparable_identifier('lines_seen.given_channel_id') }} = by_given_id.line_number
    left join channels_by_line as by_given_line
        on lines_seen.given_line_number = by_given_line.line_number

)

select * from final

with lines_identified as (

    select * from {{ ref('int_lines_identified') }}

),

channels as (

    select * from {{ ref('channels') }}

),

lines as (

    select channel_id, max(line_number) as line_number, max(platform) as platform
    from lines_identified
    group by channel_id

),

final as (

    select
        lines.channel_id,
        channels.channel_name,
        lines.line_number,
        lines.platform
    from lines
    left join channels
        on lines.channel_id = channels.channel_id

)

select * from final

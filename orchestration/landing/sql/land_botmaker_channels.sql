insert into raw.botmaker_channels by name
select
    c.channel_id,
    c.platform,
    c.channel_name,
    c.line_number_of_channel as line_number,
    f.file_name as _file_name,
    c.line_number as _line_number,
    $landed_at as _landed_at,
    $load_id as _load_id
from parsed_botmaker_channels as c
inner join batch_files as f using (file_index)
where c.problem is null;

-- The valid rates of a line land even if another rate on it cannot be read.
insert into raw.rates by name
select
    r.effective_from,
    r.currency,
    r.market,
    r.category,
    r.rate,
    f.file_name as _file_name,
    r.line_number as _line_number,
    $landed_at as _landed_at,
    $load_id as _load_id
from parsed_rates as r
inner join batch_files as f using (file_index)
where r.rate is not null;

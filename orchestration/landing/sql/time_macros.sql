-- A time of any feed as naive UTC: ISO 8601 with an offset, or Unix seconds or milliseconds. Anything else is null. Unix seconds reach
-- 1e11 in the year 5138, and milliseconds passed it in 1973, so the size distinguishes them. Above 1e14 or below 0, a number is
-- neither.
create or replace temp macro whole_unix_time(number) as (
    case
        when number between 0 and 100000000000 then make_timestamp(number * 1000000)
        when number between 0 and 100000000000000 then make_timestamp(number * 1000)
    end
);

-- The text is checked first, because DuckDB's casts also read `0x10` and `1_000`.
create or replace temp macro unix_time(text) as (
    case
        -- A cast of other numbers to a whole number would round the fraction; a cast through decimals takes 20 times as long.
        when regexp_full_match(text, '\d+') then whole_unix_time(try_cast(text as bigint))
        when not regexp_full_match(text, '\d+(\.\d+)?([eE][+-]?\d+)?') then null
        when try_cast(text as decimal(38, 6)) between 0 and 100000000000
            then make_timestamp(cast(try_cast(text as decimal(38, 6)) * 1000000 as bigint))
        when try_cast(text as decimal(38, 6)) between 0 and 100000000000000
            then make_timestamp(cast(try_cast(text as decimal(38, 6)) * 1000 as bigint))
    end
);

create or replace temp macro iso_time(text) as (
    case
        when regexp_full_match(text, '\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-](0\d|1\d|2[0-3])(:?[0-5]\d)?)')
            then try_cast(text as timestamptz) at time zone 'UTC'
        -- The rarer forms: no seconds, a comma, no separators, lower case.
        when regexp_full_match(text, '(?i)\d{4}-?\d{2}-?\d{2}[T ]\d{2}:?\d{2}(:?\d{2}([.,]\d+)?)? ?(Z|[+-](0\d|1\d|2[0-3])(:?[0-5]\d)?)')
            then try_cast(
                regexp_extract(text, '^\d{4}') || '-'
                || regexp_extract(text, '^\d{4}-?(\d{2})', 1) || '-'
                || regexp_extract(text, '^\d{4}-?\d{2}-?(\d{2})', 1) || ' '
                || regexp_extract(text, '(?i)[T ](\d{2})', 1) || ':'
                || regexp_extract(text, '(?i)[T ]\d{2}:?(\d{2})', 1) || ':'
                || coalesce(nullif(regexp_extract(text, '(?i)[T ]\d{2}:?\d{2}:?(\d{2}(?:[.,]\d+)?)', 1), ''), '00').replace(',', '.')
                || upper(trim(regexp_extract(text, '(?i) ?(?:Z|[+-]\d{2}(?::?\d{2})?)$')))
                as timestamptz
            ) at time zone 'UTC'
    end
);

-- Years that a reader's calendar cannot represent (Python's ends with 9999) are not times of a message.
create or replace temp macro readable_time(happened_at) as (
    case when happened_at between timestamp '0001-01-03' and timestamp '9999-12-29' then happened_at end
);

create or replace temp macro time_of(text, kind) as (
    readable_time(case
        when kind in ('UBIGINT', 'BIGINT', 'DOUBLE') then unix_time(text)
        when kind = 'VARCHAR' and regexp_full_match(text, '-?\d+(\.\d+)?') then unix_time(text)
        when kind = 'VARCHAR' then iso_time(text)
    end)
);

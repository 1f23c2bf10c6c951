-- DuckDB's parser accepts more than JSON: a comma before a closing bracket, NaN and Infinity, and numbers of any size, which
-- no double holds. A cheap look at the line finds those that may have one; what texts hold does not count, so a second
-- look takes the texts out. The three patterns begin with a literal: RE2 then skips to it (0.2 s instead of 0.8 s of CPU
-- for 380 MB as one pattern).
create or replace temp macro may_be_lenient(text) as (
    regexp_matches(text, ',\s*(?:[}\]]|-?(?:\d{40}|\d+(?:\.\d+)?[eE]\+?\d{3}|(?i:nan|inf(?:inity)?)\s*[,}\]]))')
    or regexp_matches(text, ':\s*-?(?:\d{40}|\d+(?:\.\d+)?[eE]\+?\d{3}|(?i:nan|inf(?:inity)?)\s*[,}\]])')
    or regexp_matches(text, '\[\s*-?(?:\d{40}|\d+(?:\.\d+)?[eE]\+?\d{3}|(?i:nan|inf(?:inity)?)\s*[,}\]])')
);

create or replace temp macro without_texts(text) as regexp_replace(text, '"(?:[^"\\]|\\.)*"', '""', 'gs');

create or replace temp macro has_number_beyond_double(bare) as (
    list_bool_or(list_transform(
        regexp_extract_all(bare, '-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?'),
        lambda number: coalesce(isinf(try_cast(number as double)), true)
    ))
);

create or replace temp macro lenient_problem_of(bare) as (
    case
        when regexp_matches(bare, ',\s*[}\]]') then 'not JSON: a comma before a closing bracket'
        when regexp_matches(bare, '(?i)nan|inf') then 'not JSON: NaN or Infinity'
        when has_number_beyond_double(bare) then 'not JSON: a number that no double holds'
    end
);

-- What is wrong with a text that DuckDB reads and JSON's grammar does not know.
create or replace temp macro lenient_problem(text) as (
    case when may_be_lenient(text) then lenient_problem_of(without_texts(text)) end
);

-- Half an emoji (a surrogate escape without its other half) counts as U+FFFD. RE2 knows no lookahead: escaped backslashes
-- and whole pairs are first written with control characters, which JSON does not allow raw and so cannot hold.
create or replace temp macro has_surrogate_escape(text) as regexp_matches(text, '\\u[dD][89a-fA-F]');

create or replace temp macro with_whole_emojis(text) as (
    replace(
        regexp_replace(
            regexp_replace(
                regexp_replace(
                    replace(text, '\\', chr(1)),
                    '\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})', chr(2) || '\1' || chr(3) || '\2', 'g'
                ),
                '\\u[dD][89a-fA-F][0-9a-fA-F]{2}', '\\ufffd', 'g'
            ),
            '[\x02\x03]', '\\u', 'g'
        ),
        chr(1), '\\'
    )
);

-- A line as DuckDB can read it.
create or replace temp macro readable_json(text) as (
    case
        when not has_surrogate_escape(text) then text
        when json_valid(text) or regexp_matches(text, '[\x01-\x03]') then text
        else with_whole_emojis(text)
    end
);

-- What is wrong with a required text, in the words of the quarantine.
create or replace temp macro problem_of_text(name, text, kind) as (
    case
        when trim(coalesce(text, '')) = '' then name || ': missing'
        when kind <> 'VARCHAR' then name || ': not a string'
    end
);

create or replace temp macro problem_of_time(name, text, kind) as (
    case
        when trim(coalesce(text, '')) = '' then null
        when kind <> 'VARCHAR' or readable_time(iso_time(text)) is null then name || ': not ISO 8601 with an offset'
    end
);

-- Whether what was read as a text is an object or a list.
create or replace temp macro is_nested(text) as left(text, 1) in ('{', '[');

-- Whether something at a path is neither null nor of the type.
create or replace temp macro has_other_types(text, path, type) as (
    len(list_filter(json_type(text, path), lambda t: t not in (type, 'NULL'))) > 0
);

-- The text or whole number at a path of what was read as a text; null where it is something else.
create or replace temp macro text_at(text, path) as (
    case when try(json_type(text, path)) in ('VARCHAR', 'UBIGINT') then nullif(json_extract_string(text, path), '') end
);

create or replace temp macro is_null_or_one_of(value, first, second, third) as value is null or coalesce(value in (first, second, third), false);

-- Whether something at a path of a webhook's changes of these fields is neither null nor of the type.
create or replace temp macro has_misread_part(body, fields, path, type) as (
    len(list_filter(
        json_extract(body, '$.entry[*].changes[*]'),
        lambda change: coalesce(nullif(change ->> '$.field', ''), 'messages') in fields and json_type(change, path) not in (type, 'NULL')
    )) > 0
);

create or replace temp macro webhook_list_problem(body) as (
    case
        when has_misread_part(body, ['messages', 'standby', 'smb_message_echoes'], '$.value', 'OBJECT') then 'value: not an object'
        when has_misread_part(body, ['standby'], '$.value.standby', 'OBJECT') then 'standby: not an object'
        when has_misread_part(body, ['messages'], '$.value.statuses', 'ARRAY') then 'statuses: not a list'
        when has_misread_part(body, ['messages'], '$.value.messages', 'ARRAY') then 'messages: not a list'
        when has_misread_part(body, ['standby'], '$.value.standby.statuses', 'ARRAY') then 'statuses: not a list'
        when has_misread_part(body, ['standby'], '$.value.standby.messages', 'ARRAY') then 'messages: not a list'
        when has_misread_part(body, ['standby'], '$.value.standby.message_echoes', 'ARRAY') then 'message_echoes: not a list'
        when has_misread_part(body, ['smb_message_echoes'], '$.value.message_echoes', 'ARRAY') then 'message_echoes: not a list'
    end
);

-- DuckDB's parser accepts more than JSON: a comma before a closing bracket, NaN and Infinity, and numbers too large for a double. A
-- cheap check finds the lines that may contain one of these. The contents of strings do not count, so a second check removes the
-- strings first. Each of the three patterns begins with a literal, so that RE2 can skip to it (for 380 MB, 0.2 s of CPU instead of
-- 0.8 s as one pattern).
create or replace temp macro may_be_lenient(text) as (
    regexp_matches(text, ',\s*(?:[}\]]|null\s*[,\]]|-?(?:\d{40}|\d+(?:\.\d+)?[eE]\+?\d{3}|(?i:nan|inf(?:inity)?)\s*[,}\]]))')
    or regexp_matches(text, ':\s*-?(?:\d{40}|\d+(?:\.\d+)?[eE]\+?\d{3}|(?i:nan|inf(?:inity)?)\s*[,}\]])')
    or regexp_matches(text, '\[\s*(?:null\s*[,\]]|-?(?:\d{40}|\d+(?:\.\d+)?[eE]\+?\d{3}|(?i:nan|inf(?:inity)?)\s*[,}\]]))')
);

create or replace temp macro without_strings(text) as regexp_replace(text, '"(?:[^"\\]|\\.)*"', '""', 'gs');

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

-- The problem of a text that DuckDB reads but JSON's grammar does not allow, or null.
create or replace temp macro lenient_problem(text) as (
    case when may_be_lenient(text) then lenient_problem_of(without_strings(text)) end
);

-- Half an emoji (a surrogate escape without its other half) is read as U+FFFD. RE2 has no lookahead, so escaped backslashes and whole
-- pairs are first replaced by control characters, which JSON does not allow unescaped and so cannot contain.
create or replace temp macro has_surrogate_escape(text) as contains(text, '\ud') or contains(text, '\uD');

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

-- The line in a form that DuckDB can read.
create or replace temp macro readable_json(text) as (
    case
        when not has_surrogate_escape(text) then text
        when json_valid(text) or regexp_matches(text, '[\x01-\x03]') then text
        else with_whole_emojis(text)
    end
);

-- The problem of a required text, as the quarantine words it, or null.
create or replace temp macro problem_of_text(name, text, kind) as (
    case
        when trim(coalesce(text, '')) = '' then name || ': missing'
        when kind <> 'VARCHAR' then name || ': not a string'
    end
);

-- DuckDB types a whole number of more than 64 bits as a double.
create or replace temp macro is_text_or_whole_number(text, kind) as (
    kind in ('VARCHAR', 'UBIGINT', 'BIGINT', 'NULL') or kind = 'DOUBLE' and regexp_full_match(text, '-?\d+')
);

create or replace temp macro problem_of_time(name, text, kind) as (
    case
        when trim(coalesce(text, '')) = '' then null
        when kind <> 'VARCHAR' or readable_time(iso_time(text)) is null then name || ': not ISO 8601 with an offset'
    end
);

-- Whether a value read as text is an object or a list. (`prefix` takes a quarter of the time of `left` or `starts_with`.)
create or replace temp macro is_nested(text) as prefix(text, '{') or prefix(text, '[');

-- The string or number; null for an object, a list or an empty string.
create or replace temp macro plain(text) as case when not is_nested(text) then nullif(text, '') end;

create or replace temp macro has_digit(text) as coalesce(regexp_matches(text, '[0-9]'), false);

-- Whether a record is too long to keep its text with each of its invalid items.
create or replace temp macro is_long_record(text) as strlen(text) > 4096;

-- Whether any value at a path is neither null nor of the type.
create or replace temp macro has_other_types(text, path, type) as (
    len(list_filter(json_type(text, path), lambda t: t not in (type, 'NULL'))) > 0
);

-- The string or whole number at a path of a value read as text; null for anything else.
create or replace temp macro text_at(text, path) as (
    case when try(json_type(text, path)) in ('VARCHAR', 'UBIGINT') then nullif(json_extract_string(text, path), '') end
);

-- The same for a time, which may be any number.
create or replace temp macro text_or_number_at(text, path) as (
    case when try(json_type(text, path)) in ('VARCHAR', 'UBIGINT', 'DOUBLE') then nullif(json_extract_string(text, path), '') end
);

create or replace temp macro either_text_at(text, path, other_path) as coalesce(text_at(text, path), text_at(text, other_path));

-- The identifiers in a notice of a changed number or user id (in `system` of a message, or in an element of `user_id_update`).
create or replace temp macro new_wa_id(notice) as either_text_at(notice, '$.wa_id', '$.new_wa_id');
create or replace temp macro new_user_id(notice) as either_text_at(notice, '$.user_id', '$.user_id.current');
create or replace temp macro new_parent_user_id(notice) as either_text_at(notice, '$.parent_user_id', '$.parent_user_id.current');
create or replace temp macro previous_user_id(notice) as either_text_at(notice, '$.user_id.previous', '$.previous_user_id');
create or replace temp macro previous_parent_user_id(notice) as (
    either_text_at(notice, '$.parent_user_id.previous', '$.previous_parent_user_id')
);

create or replace temp macro has_two_identifiers(first, second, third) as (
    (nullif(first, '') is not null)::integer + (nullif(second, '') is not null)::integer + (nullif(third, '') is not null)::integer > 1
);

create or replace temp macro is_null_or_one_of(value, first, second, third) as value is null or coalesce(value in (first, second, third), false);

create or replace temp macro all_among(wa_id, user_id, parent_user_id, first, second, third) as (
    is_null_or_one_of(wa_id, first, second, third)
    and is_null_or_one_of(user_id, first, second, third)
    and is_null_or_one_of(parent_user_id, first, second, third)
);

-- The fields that are read from a webhook's items (all as text, whatever their type).
create or replace temp macro metadata_structure() as '{"phone_number_id": "VARCHAR", "display_phone_number": "VARCHAR"}';
create or replace temp macro contact_structure() as '{"wa_id": "VARCHAR", "user_id": "VARCHAR", "parent_user_id": "VARCHAR"}';
create or replace temp macro status_structure() as '{
    "id": "VARCHAR", "status": "VARCHAR", "timestamp": "VARCHAR", "type": "VARCHAR",
    "recipient_id": "VARCHAR", "recipient_user_id": "VARCHAR", "recipient_parent_user_id": "VARCHAR",
    "recipient_type": "VARCHAR", "recipient_participant_id": "VARCHAR", "recipient_participant_user_id": "VARCHAR",
    "pricing": {"pricing_model": "VARCHAR", "category": "VARCHAR", "type": "VARCHAR", "billable": "VARCHAR"},
    "errors": [{"code": "VARCHAR", "title": "VARCHAR", "message": "VARCHAR", "error_data": {"details": "VARCHAR"}}]
}';
create or replace temp macro message_structure() as '{
    "id": "VARCHAR", "type": "VARCHAR", "timestamp": "VARCHAR", "group_id": "VARCHAR",
    "from": "VARCHAR", "from_user_id": "VARCHAR", "from_parent_user_id": "VARCHAR", "user_id": "VARCHAR", "parent_user_id": "VARCHAR",
    "context": {"id": "VARCHAR"},
    "reaction": {"message_id": "VARCHAR", "emoji": "VARCHAR"},
    "referral": {"source_type": "VARCHAR", "source_id": "VARCHAR"},
    "errors": "VARCHAR",
    "system": "VARCHAR"
}';

create or replace temp macro webhook_shape_problem(body) as (
    case
        when json_type(body) <> 'OBJECT' then 'not a JSON object'
        when json_type(body, '$.entry') is null then 'entry: missing'
        when json_type(body, '$.entry') <> 'ARRAY' then 'entry: not a list'
        when len(list_filter(json_type(body, '$.entry[*]'), lambda t: t <> 'OBJECT')) > 0 then 'entry: not a list of objects'
        when has_other_types(body, '$.entry[*].changes', 'ARRAY') then 'changes: not a list'
        when len(list_filter(json_type(body, '$.entry[*].changes[*]'), lambda t: t <> 'OBJECT')) > 0 then 'changes: not a list of objects'
    end
);

-- The problem of the first part that has the wrong type, among the parts that are read for the field of its change.
create or replace temp macro webhook_list_problem(body) as (
    list_filter(
        [
            {'fields': ['messages', 'standby', 'smb_message_echoes'], 'path': '$.value', 'type': 'OBJECT', 'problem': 'value: not an object'},
            {'fields': ['standby'], 'path': '$.value.standby', 'type': 'OBJECT', 'problem': 'standby: not an object'},
            {'fields': ['messages'], 'path': '$.value.statuses', 'type': 'ARRAY', 'problem': 'statuses: not a list'},
            {'fields': ['messages'], 'path': '$.value.messages', 'type': 'ARRAY', 'problem': 'messages: not a list'},
            {'fields': ['standby'], 'path': '$.value.standby.statuses', 'type': 'ARRAY', 'problem': 'statuses: not a list'},
            {'fields': ['standby'], 'path': '$.value.standby.messages', 'type': 'ARRAY', 'problem': 'messages: not a list'},
            {'fields': ['standby'], 'path': '$.value.standby.message_echoes', 'type': 'ARRAY', 'problem': 'message_echoes: not a list'},
            {'fields': ['smb_message_echoes'], 'path': '$.value.message_echoes', 'type': 'ARRAY', 'problem': 'message_echoes: not a list'}
        ],
        lambda part: len(list_filter(
            json_extract(body, '$.entry[*].changes[*]'),
            lambda change:
                coalesce(change ->> '$.field', 'messages') in part.fields
                and json_type(change, part.path) not in (part.type, 'NULL')
        )) > 0
    )[1].problem
);

-- The elements, as text, of a list read as text; null if it is not a list.
create or replace temp macro json_elements(text) as (
    case when prefix(text, '[') then try(json_extract(text, '$[*]')::varchar[]) end
);

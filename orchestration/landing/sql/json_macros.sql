-- DuckDB's parser lets a comma before a closing bracket pass; JSON does not. Texts are taken out first,
-- because they may hold anything, and only where there is something to look for.
create or replace temp macro may_have_stray_comma(text) as regexp_matches(text, ',\s*[}\]]');

create or replace temp macro has_stray_comma(text) as (
    case
        when may_have_stray_comma(text) then may_have_stray_comma(regexp_replace(text, '"(?:[^"\\]|\\.)*"', '""', 'gs'))
        else false
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

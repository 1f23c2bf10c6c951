"""The spelling rules of people, lines and sessions (contract, sections 2.1 and 4.6), for code outside dbt: landing, masking, erasure.

The rules are defined only in `dbt_project/macros`; this module turns them into DuckDB macros.
"""

from collections.abc import Iterable
from functools import cache
from types import SimpleNamespace
from typing import Any

import duckdb
import jinja2

from orchestration.base64_macros import BASE64_MACROS
from orchestration.settings import DBT_PROJECT_DIR

# Full-width, Arabic, Persian and Devanagari digits, which keyboards write besides those of ASCII.
_OTHER_DIGITS = "".join(chr(zero + digit) for zero in (0xFF10, 0x0660, 0x06F0, 0x0966) for digit in range(10))


@cache
def _of_dbt(name: str) -> dict[str, Any]:
    """Return the macros in a file of the dbt project as functions that render SQL for DuckDB."""
    environment = jinja2.Environment(autoescape=False, extensions=["jinja2.ext.do"])
    environment.globals["dbt"] = SimpleNamespace(type_string=lambda: "varchar")
    if name != "duckdb/dialect.sql":
        dialect = _of_dbt("duckdb/dialect.sql")
        environment.globals |= {"matches": dialect["duckdb__matches"], "utc_second": dialect["duckdb__utc_second"]}
    return vars(environment.from_string((DBT_PROJECT_DIR / "macros" / name).read_text(encoding="utf-8")).module)


@cache
def _macros() -> str:
    people, sessions = _of_dbt("identifiers.sql"), _of_dbt("botmaker.sql")
    return f"""
        create or replace temp macro display_identifier(given) as ({people["display_identifier"]("given")});
        create or replace temp macro comparable_shown(shown) as ({people["comparable_identifier"]("shown")});
        -- The list makes DuckDB evaluate each argument once. Otherwise DuckDB inserts the argument wherever a macro names it, a dozen
        -- times in each of the two, and takes a second to plan a query of a few identifiers.
        create or replace temp macro comparable_identifier(given) as list_transform(
            list_transform([given], lambda identifier: display_identifier(identifier)), lambda shown: comparable_shown(shown)
        )[1];
        create or replace temp macro is_number(identifier) as ({people["is_number"]("identifier")});
        create or replace temp macro is_user_id(identifier) as ({people["is_user_id"]("identifier")});
        create or replace temp macro comparable_session_id(session_id) as ({sessions["comparable_session_id"]("session_id")});
        {BASE64_MACROS}
        -- The text in an id that is base64 after its prefix, such as a wamid; bytes that are not text become a space.
        create or replace temp macro text_in_id(id) as regexp_replace(
            cast(base64_bytes(standard_base64(regexp_extract(id, '([A-Za-z0-9+/_-]+)=*$', 1))) as varchar), '\\\\x[0-9A-F]{{2}}', ' ', 'g'
        );
        -- A text with the URL encoding of links decoded and digits of other scripts as ASCII. Bytes that are not text become a space.
        create or replace temp macro readable_text(text) as translate(
            coalesce(try(url_decode(text)), url_decode(regexp_replace(text, '%[89A-Fa-f][0-9A-Fa-f]', ' ', 'g'))),
            '{_OTHER_DIGITS}', '{"0123456789" * (len(_OTHER_DIGITS) // 10)}'
        );
        -- `base64_runs`: the parts of a text that may be base64 of eight or more characters of an identifier. Letters, digits, `.`, `-`
        -- and `_` produce the last two letters of the base64 alphabet only together with the character after them, so paths of links
        -- are short runs. `texts_in_base64`: the texts that a run may contain; they may begin at any of four letters.
        create or replace temp macro base64_runs(text) as regexp_extract_all(text, '[A-Za-z0-9]{{10,}}[+/_-]?');
        create or replace temp macro texts_in_base64(letters) as [
            text_in_id(letters), text_in_id(substr(letters, 2)), text_in_id(substr(letters, 3)), text_in_id(substr(letters, 4))
        ];
        -- The first number of eight or more digits in an id, in base64 or in plain text.
        create or replace temp macro number_in_id(id) as coalesce(
            nullif(regexp_extract(text_in_id(id), '[0-9]{{8,}}'), ''),
            nullif(regexp_extract(id, '[0-9]{{8,}}'), '')
        );
    """


def create_identifier_macros(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the identifier macros, which take one text each, as it was received.

    They are `display_identifier`, `comparable_identifier`, `is_number`, `is_user_id`, `comparable_session_id`, `text_in_id`,
    `number_in_id`, `readable_text`, `base64_runs` and `texts_in_base64`.
    """
    connection.execute(_macros())


def comparable_identifier(identifier: str) -> str:
    """Return the comparable form of an identifier: `+55 11 8765-0001` gives `5511987650001`."""
    return comparable_identifiers([identifier])[identifier]


def comparable_identifiers(identifiers: Iterable[str]) -> dict[str, str]:
    """Return the comparable form of each identifier, by identifier."""
    with duckdb.connect() as connection:
        create_identifier_macros(connection)
        query = "select identifier, comparable_identifier(identifier) from (select unnest($identifiers::varchar[]) as identifier)"
        return dict(connection.execute(query, {"identifiers": sorted(set(identifiers))}).fetchall())


def all_spellings(identifiers: Iterable[str]) -> list[str]:
    """Return identifiers, in comparable form, and all spellings with one digit more or less that have the same comparable form."""
    given = sorted(set(identifiers))
    numbers = [identifier for identifier in given if identifier.isdecimal()]
    shorter = {number[:place] + number[place + 1 :] for number in numbers for place in range(len(number))}
    longer = {number[:place] + digit + number[place:] for number in numbers for place in range(len(number)) for digit in "0123456789"}
    with duckdb.connect() as connection:
        create_identifier_macros(connection)
        found = connection.execute(
            "select spelling from (select unnest($spellings::varchar[]) as spelling) "
            "where comparable_identifier(spelling) in (select unnest($numbers::varchar[])) order by all",
            {"spellings": sorted(shorter | longer), "numbers": numbers},
        ).fetchall()
    return [*given, *(spelling for (spelling,) in found if spelling not in given)]

"""SQL conditions that find a person in the rows of the raw tables. They are the same on each engine, which runs them in a DuckDB."""

import re
from collections.abc import Callable, Iterable, Sequence

import duckdb

from orchestration.files import quoted
from orchestration.identifiers import all_spellings, create_identifier_macros
from orchestration.keyed_hash import create_keyed_hash_macro
from orchestration.landing.erased import ERASED_TEXT, MAX_IDENTIFIERS, ErasedPeople, ErasedPerson

_IS_PERSON = "comparable_identifier({}) in (select identifier from erased_identifiers)"


# The identifiers of people in a row of each raw table, as SQL expressions.
IDENTIFIERS = {
    "sends": ("contact_id",),
    "webhook_messages": ("sender_id", "sender_user_id", "sender_parent_user_id"),
    "webhook_statuses": ("recipient_id", "recipient_user_id", "recipient_parent_user_id"),
    "webhook_echoes": ("recipient_id",),
    "webhook_identities": ("wa_id", "user_id", "parent_user_id", "previous_wa_id", "previous_user_id", "previous_parent_user_id"),
    "botmaker_sessions": ("coalesce(contact_id, user_id, parent_user_id, chat_id)", "user_id", "parent_user_id"),
    "botmaker_sent_results": ("contact_id",),
}


def person_condition(table: str) -> str:
    """Return the condition that a row of a raw table names the person."""
    return " or ".join(_IS_PERSON.format(column) for column in IDENTIFIERS[table])


_SESSION_OF_PERSON = "comparable_session_id(session_id) in (select id from erased_ids)"

# The conditions for the person's rows of each raw table. The ids of the person's messages and sessions are collected first, because
# statuses and events may contain nothing else.
ROWS_OF_PERSON = {
    "sends": f"{person_condition('sends')} or id_holds_person(message_id)",
    "webhook_messages": f"{person_condition('webhook_messages')} or id_holds_person(message_id)",
    "webhook_statuses": (
        f"{person_condition('webhook_statuses')} or message_id in (select id from erased_ids) or id_holds_person(message_id)"
    ),
    "webhook_echoes": f"{person_condition('webhook_echoes')} or id_holds_person(message_id)",
    "webhook_identities": person_condition("webhook_identities"),
    "botmaker_sessions": _SESSION_OF_PERSON,
    "botmaker_session_events": _SESSION_OF_PERSON,
    "botmaker_session_messages": _SESSION_OF_PERSON,
    "botmaker_sent_results": f"{person_condition('botmaker_sent_results')} or {_SESSION_OF_PERSON}",
}

# The tables with one row per landed record.
TABLES_OF_RECORDS = {"sends", "botmaker_sessions", "botmaker_sent_results"}

# Texts of other people's rows, and of rejected records, that may name the person. A rejected record stays counted, so that the
# ledger's sums hold; its text is removed.
TEXTS = {
    "sends": ("customer_id", "chat_link", "agent_groups", "error_title", "error_details"),
    "webhook_statuses": ("error_title", "error_message", "error_details"),
    "webhook_messages": ("context_message_id", "reaction_message_id"),
    "botmaker_session_events": ("reason", "error"),
    "rejected_records": ("record",),
}

# The conditions for all rows that name the person, including other people's rows with such a text.
ROWS_THAT_NAME_PERSON = {
    table: " or ".join(
        [
            *([f"coalesce({ROWS_OF_PERSON[table]}, false)"] if table in ROWS_OF_PERSON else []),
            *(f"holds_person({text})" for text in TEXTS.get(table, ())),
        ]
    )
    for table in sorted({*ROWS_OF_PERSON, *TEXTS})
}

# The file and load of a row of each of these tables; a rejected record has no load.
FILE_AND_LOAD = {table: "_file_name as file_name, _load_id as load_id" for table in ROWS_THAT_NAME_PERSON} | {
    "rejected_records": "file_name, cast(null as bigint) as load_id"
}

# The files and loads with a text that was replaced. Runs on DuckDB and Spark.
FILES_WITH_ERASED_TEXTS_SQL = " union ".join(
    f"select {FILE_AND_LOAD[table]} from raw.{table} where {quoted(ERASED_TEXT)} in ({', '.join(texts)})" for table, texts in TEXTS.items()
)

# The ids of a person's messages and sessions, and the conditions for the rows that contain them.
IDS_OF_PERSON = {
    "sends": ("message_id", person_condition("sends")),
    "webhook_echoes": ("message_id", person_condition("webhook_echoes")),
    "botmaker_sessions": ("comparable_session_id(session_id)", person_condition("botmaker_sessions")),
    "botmaker_sent_results": ("comparable_session_id(session_id)", person_condition("botmaker_sent_results")),
}

# The ids of messages that rows of a person refer to: the recipient of such a message is the same person (contract, section 2.1).
REFERENCED_IDS = {
    "webhook_statuses": ("message_id", person_condition("webhook_statuses")),
    "webhook_messages": (
        "unnest([context_message_id, reaction_message_id])",
        f"({person_condition('webhook_messages')}) and not is_in_group",
    ),
}

_IS_REFERENCED = "{} in (select id from referenced_ids)"
_IS_MESSAGE_OF_PERSON = "{} in (select id from erased_ids union all select id from referenced_ids)"

# The rows that are evidence of a person's identifiers. Many refused sends may share one id, so the id of a send is evidence only if a
# row of the person refers to it.
EVIDENCE = {table: person_condition(table) for table in IDENTIFIERS} | {
    "sends": f"{person_condition('sends')} or {_IS_REFERENCED.format('message_id')}",
    "webhook_echoes": f"{person_condition('webhook_echoes')} or {_IS_REFERENCED.format('message_id')}",
    "webhook_statuses": f"{person_condition('webhook_statuses')} or {_IS_MESSAGE_OF_PERSON.format('message_id')}",
    "webhook_messages": (
        f"{person_condition('webhook_messages')} or not is_in_group "
        f"and ({_IS_MESSAGE_OF_PERSON.format('context_message_id')} or {_IS_MESSAGE_OF_PERSON.format('reaction_message_id')})"
    ),
    "botmaker_sessions": _SESSION_OF_PERSON,
}

_DIGITS_WITH_COUNTRY = 10


def create_person_macros(connection: duckdb.DuckDBPyConnection, identifiers: list[str], ids: Sequence[str]) -> None:
    """Create the tables of `create_evidence` and the macros `holds_person` and `id_holds_person`, for conditions on rows and texts."""
    create_evidence(connection, identifiers, ids)
    create_holds_person(connection, identifiers)


def create_holds_person(connection: duckdb.DuckDBPyConnection, identifiers: list[str]) -> None:
    """Create the macros that return whether a text, or an id, names a person, in any spelling and in base64."""
    # A variable, because the pattern in a macro cannot come from a table.
    connection.execute("set variable erased_spelling = $spelling", {"spelling": "|".join(map(spelling_of, all_spellings(identifiers)))})
    connection.execute(
        """
        create or replace temp macro names_erased(text) as coalesce(regexp_matches(text, getvariable('erased_spelling')), false);
        create or replace temp macro id_holds_person(id) as names_erased(id) or names_erased(text_in_id(id));
        create or replace temp macro holds_person(text) as names_erased(text) or names_erased(readable_text(text))
            or coalesce(list_bool_or(list_transform(
                base64_runs(readable_text(text)),
                lambda letters: list_bool_or(list_transform(texts_in_base64(letters), lambda form: names_erased(form)))
            )), false)
        """
    )


def create_evidence(
    connection: duckdb.DuckDBPyConnection, identifiers: list[str], ids: Sequence[str] = (), referenced_ids: Sequence[str] = ()
) -> None:
    """Create the tables for `EVIDENCE`: `erased_identifiers` (in comparable form), `erased_ids` and `referenced_ids`."""
    create_identifier_macros(connection)
    tables = (
        ("erased_identifiers", "identifier", identifiers),
        ("erased_ids", "id", list(ids)),
        ("referenced_ids", "id", list(referenced_ids)),
    )
    for table, column, values in tables:
        connection.execute(f"create or replace temp table {table} as select unnest($values::varchar[]) as {column}", {"values": values})


def create_known_hashes(connection: duckdb.DuckDBPyConnection, erased: ErasedPeople, people: Iterable[ErasedPerson]) -> str:
    """Create the table of hashes of some erased people; return the condition that a comparable `identifier` belongs to one of them."""
    create_keyed_hash_macro(connection, "erasure_hash", erased.key)
    hashes = {"hashes": sorted(set().union(*(person.identifiers for person in people)))}
    connection.execute("create or replace temp table known_hashes as select unnest($hashes::varchar[]) as hash", hashes)
    return "erasure_hash(identifier) in (select hash from known_hashes)"


def connected_identifiers(identifiers: list[str], find_connected: Callable[[list[str]], Iterable[str]]) -> list[str]:
    """Return all identifiers, in comparable form, that the raw rows connect with `identifiers` in any number of steps.

    `find_connected` returns the identifiers in the `EVIDENCE` of some identifiers. More than `MAX_IDENTIFIERS` are an error in the data:
    then only `identifiers` are returned.
    """
    known: set[str] = set()
    found = set(identifiers)
    while not found <= known:
        known |= found
        found = set(find_connected(sorted(known)))
        if len(known | found) > MAX_IDENTIFIERS:
            return identifiers
    return sorted(known)


def identifiers_in(table: str, rows: str) -> str:
    """Return a query of the distinct `identifier`s, in comparable form, in rows of a raw table."""
    values = " union ".join(f"select {column} as value from {rows}" for column in IDENTIFIERS[table])
    return f"select distinct comparable_identifier(value) as identifier from ({values}) where value is not null"


def without_texts(table: str) -> str:
    """Return the clause after `select *` that replaces other people's texts that name the person."""
    texts = TEXTS.get(table, ())
    replaced = ", ".join(f"case when holds_person({text}) then {quoted(ERASED_TEXT)} else {text} end as {text}" for text in texts)
    return f"replace ({replaced})" if replaced else ""


def spelling_of(identifier: str) -> str:
    """Return a regular expression, for Python and DuckDB, of an identifier as people write it; a whole number also in groups.

    It matches only the whole identifier: it does not find `US.1349` in `US.13490`.
    """
    if not identifier.isdecimal():
        return f"(?:^|[^A-Za-z0-9]){re.escape(identifier)}(?:$|[^A-Za-z0-9])"
    # A short number in groups would match many times of day.
    digits = "[^0-9]{0,3}".join(identifier) if len(identifier) >= _DIGITS_WITH_COUNTRY else identifier
    return f"(?:^|[^0-9]){digits}(?:$|[^0-9])"

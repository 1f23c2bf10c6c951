"""What of a person the raw tables hold, as SQL over their rows: the same on each engine, which runs it in a DuckDB."""

import re

import duckdb

from orchestration.files import quoted
from orchestration.identifiers import all_spellings, create_identifier_macros
from orchestration.keyed_hash import create_keyed_hash_macro
from orchestration.landing.erased import ERASED_TEXT, ErasedPeople

_IS_PERSON = "comparable_identifier({}) in (select identifier from erased_identifiers)"


def _any_is_person(*columns: str) -> str:
    return " or ".join(_IS_PERSON.format(column) for column in columns)


_SESSION_OF_PERSON = "comparable_session_id(session_id) in (select id from erased_ids)"

# Which rows of a raw table are the person's. The ids of the person's messages and sessions are collected first, because statuses and
# events may carry nothing else.
ROWS_OF_PERSON = {
    "sends": _any_is_person("contact_id"),
    "webhook_messages": f"{_any_is_person('sender_id', 'sender_user_id', 'sender_parent_user_id')} or holds_person(message_id)",
    "webhook_statuses": f"{_any_is_person('recipient_id', 'recipient_user_id', 'recipient_parent_user_id')}"
    " or message_id in (select id from erased_ids) or holds_person(message_id)",
    "webhook_echoes": _any_is_person("recipient_id"),
    "webhook_identities": _any_is_person(
        *("wa_id", "user_id", "parent_user_id", "previous_wa_id", "previous_user_id", "previous_parent_user_id")
    ),
    "botmaker_sessions": _SESSION_OF_PERSON,
    "botmaker_session_events": _SESSION_OF_PERSON,
    "botmaker_session_messages": _SESSION_OF_PERSON,
    "botmaker_sent_results": _SESSION_OF_PERSON,
}

# Texts of other people's rows, and of rejected records, in which the person may be named. A rejected record stays counted, so
# that the ledger's sums hold; its text goes.
TEXTS = {
    "sends": ("customer_id", "chat_link", "agent_groups", "error_title", "error_details"),
    "webhook_statuses": ("error_title", "error_message", "error_details"),
    "webhook_messages": ("context_message_id", "reaction_message_id"),
    "botmaker_session_events": ("reason", "error"),
    "rejected_records": ("record",),
}

# The ids of a person's messages and sessions, and which rows give them.
IDS_OF_PERSON = {
    "sends": ("message_id", ROWS_OF_PERSON["sends"]),
    "webhook_echoes": ("message_id", ROWS_OF_PERSON["webhook_echoes"]),
    "botmaker_sessions": (
        "comparable_session_id(session_id)",
        _any_is_person("coalesce(contact_id, user_id, parent_user_id, chat_id)", "user_id", "parent_user_id"),
    ),
}

_DIGITS_WITH_COUNTRY = 10


def create_person(connection: duckdb.DuckDBPyConnection, identifiers: list[str], ids: list[str]) -> None:
    """Create what the conditions above refer to: `erased_identifiers`, as they are compared, `erased_ids`, `holds_person`."""
    create_identifier_macros(connection)
    connection.execute(
        "create temp table erased_identifiers as select unnest($identifiers::varchar[]) as identifier", {"identifiers": identifiers}
    )
    connection.execute("create temp table erased_ids as select unnest($ids::varchar[]) as id", {"ids": ids})
    # A variable, because a macro's pattern may not come from a table.
    connection.execute("set variable erased_spelling = $spelling", {"spelling": "|".join(map(spelling_of, all_spellings(identifiers)))})
    connection.execute(
        """
        create temp macro holds_person(text) as
            coalesce(regexp_matches(text, getvariable('erased_spelling')), false)
            or coalesce(regexp_matches(text_in_id(text), getvariable('erased_spelling')), false)
            or coalesce(list_bool_or(list_transform(
                regexp_extract_all(text, 'wamid\\.([A-Za-z0-9+/=_-]+)', 1),
                lambda id: coalesce(regexp_matches(text_in_id(id), getvariable('erased_spelling')), false)
            )), false)
        """
    )


def create_known_hashes(connection: duckdb.DuckDBPyConnection, erased: ErasedPeople, identifier: str) -> str:
    """Create the hashes of a person who was erased before; return the condition for such an `identifier`, false of all without one.

    A later record may have named an identifier of the person that was not known then, and of which rows had landed before it.
    """
    person = erased.find(identifier)
    if person is None:
        return "false"
    create_keyed_hash_macro(connection, "erasure_hash", erased.key)
    connection.execute(
        "create or replace temp table known_hashes as select unnest($hashes::varchar[]) as hash", {"hashes": sorted(person.identifiers)}
    )
    return "erasure_hash(identifier) in (select hash from known_hashes)"


def without_texts(table: str) -> str:
    """Return the clause after `select *` that takes the person out of other people's texts."""
    texts = TEXTS.get(table, ())
    replaced = ", ".join(f"case when holds_person({text}) then {quoted(ERASED_TEXT)} else {text} end as {text}" for text in texts)
    return f"replace ({replaced})" if replaced else ""


def spelling_of(identifier: str) -> str:
    """Return a regular expression, for Python and for DuckDB, of an identifier as people write it: a whole number also in groups.

    It matches the whole identifier: `US.1349` is not found in `US.13490`.
    """
    if not identifier.isdecimal():
        return f"(?:^|[^A-Za-z0-9]){re.escape(identifier)}(?:$|[^A-Za-z0-9])"
    # A short one in groups would be found in every other time of day.
    digits = "[^0-9]{0,3}".join(identifier) if len(identifier) >= _DIGITS_WITH_COUNTRY else identifier
    return f"(?:^|[^0-9]){digits}(?:$|[^0-9])"

"""People who were erased stay erased (contract, section 3): what lands later of them is counted and withheld.

Kept are keyed hashes of a person's identifiers and of the ids of the messages to the person, in a file below the data folder
and not in the warehouse, so that they outlive it. A record that names an erased identifier together with one that is not
known yet extends the person: a number's new user id is erased like the number.
"""

import json
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import duckdb
import pyarrow as pa

from orchestration.errors import LandingError
from orchestration.files import read_start, replace_private_file
from orchestration.identifiers import comparable_identifiers, create_identifier_macros
from orchestration.keyed_hash import create_keyed_hash_macro, keyed_hash
from orchestration.landing.feeds import Feed

_KEY_BYTES = 32

_HASH = re.compile(r"[0-9a-f]{64}")

# A message id is not an identifier of a person, and must never be taken for one. Ids of the second kind were named by a status or an
# answer of the person, which says that the message went to the person; files of earlier versions have them, too.
_MESSAGE, _NAMED = "message:", "status:"

# More than this is an error in the data (contract, section 2.1): it must not erase one person after the other.
MOST_IDENTIFIERS = 20

ERASED_TEXT = "(erased)"


@dataclass
class ErasedPerson:
    """The hashes of one erased person: of identifiers as they are compared, and of the ids of messages to the person."""

    erased_at: str
    identifiers: set[str] = field(default_factory=set)
    messages: set[str] = field(default_factory=set)


@dataclass
class ErasedPeople:
    """Everyone who was erased from a data folder. `key` is a secret: it is left out of the representation.

    `has_new_identifiers`: someone has got identifiers of which rows may have landed before (`maintenance/erased_again.py`).
    `messages_in_clear` are the kinds and ids, never written, of their messages that came by since the file was read.
    """

    path: Path
    key: bytes = field(repr=False)
    people: list[ErasedPerson] = field(default_factory=list)
    has_new_identifiers: bool = False
    messages_in_clear: set[tuple[str, str]] = field(default_factory=set, repr=False, compare=False)

    @classmethod
    def load(cls, data: Path) -> "ErasedPeople":
        """Read the file of a data folder; without one, no one was erased. Raises `StartsError` for a file that is not ours."""
        path = data / "erased_people.json"
        try:
            people = cls.from_json(path, json.loads(read_start(path).decode()))
            people._check()
            return people
        except FileNotFoundError:
            return cls(path, secrets.token_bytes(_KEY_BYTES))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise LandingError(
                f"{path} cannot be read, so it is not known who was erased, and nothing lands. Restore it from a backup. "
                "Without one, delete it and erase those people again."
            ) from error

    @classmethod
    def from_json(cls, path: Path, stored: Mapping[str, Any]) -> Self:
        people = [ErasedPerson(p["erased_at"], set(p["identifiers"]), set(p["messages"])) for p in stored["people"]]
        return cls(path, bytes.fromhex(stored["key"]), people, stored.get("has_new_identifiers", False) is True)

    def _check(self) -> None:
        """Raise `ValueError` for a key or hashes that are not as we write them: erased people would come back without a word."""
        hashes = set().union(*(person.identifiers | person.messages for person in self.people))
        if len(self.key) != _KEY_BYTES or not all(isinstance(hash_, str) and _HASH.fullmatch(hash_) for hash_ in hashes):
            raise ValueError("not the key or the hashes that were written")

    def as_json(self) -> dict[str, Any]:
        """Return what the file holds."""
        people = [
            {"erased_at": person.erased_at, "identifiers": sorted(person.identifiers), "messages": sorted(person.messages)}
            for person in self.people
        ]
        return {"key": self.key.hex(), "has_new_identifiers": self.has_new_identifiers, "people": people}

    def merge(self, people: Iterable[Mapping[str, Any]]) -> bool:
        """Extend the people here by what others, who began with the same ones, have found; return whether anything was new."""
        before = [(len(person.identifiers), len(person.messages)) for person in self.people]
        for found in people:
            for person in self.people:
                if not person.identifiers.isdisjoint(found["identifiers"]):
                    self.has_new_identifiers = self.has_new_identifiers or not person.identifiers.issuperset(found["identifiers"])
                    person.identifiers |= set(found["identifiers"])
                    person.messages |= set(found["messages"])
        return before != [(len(person.identifiers), len(person.messages)) for person in self.people]

    def save(self) -> None:
        """Replace the file as a whole; only its owner may read it."""
        replace_private_file(self.path, json.dumps(self.as_json(), indent=1))

    def find(self, identifier: str) -> ErasedPerson | None:
        """Return the erased person of an identifier, given as it is compared."""
        hashed = keyed_hash(self.key, identifier)
        return next((person for person in self.people if hashed in person.identifiers), None)

    def by_person(self, identifiers: Iterable[str]) -> list[tuple[ErasedPerson, list[str]]]:
        """Return the erased people of identifiers, given as they are compared, each with those that are of that person."""
        hashes = {identifier: keyed_hash(self.key, identifier) for identifier in identifiers}
        found = [(person, [name for name, hashed in hashes.items() if hashed in person.identifiers]) for person in self.people]
        return [(person, names) for person, names in found if names]

    def extend(self, person: ErasedPerson, identifiers: Iterable[str]) -> bool:
        """Add the hashes of identifiers to a person who was erased, unless they would be too many; return whether any was new."""
        together = person.identifiers.union(identifiers)
        if together == person.identifiers or len(together) > MOST_IDENTIFIERS:
            return False
        person.identifiers = together
        self.has_new_identifiers = True
        return True

    def extend_by_identifiers(self, person: ErasedPerson, identifiers: Iterable[str]) -> list[str]:
        """Add identifiers, given as they are compared, unless they would be too many; return those that are the person's now."""
        hashes = {identifier: keyed_hash(self.key, identifier) for identifier in identifiers}
        self.extend(person, hashes.values())
        return [identifier for identifier, hashed in hashes.items() if hashed in person.identifiers]

    def extend_by_messages(self, found: Iterable[Sequence[str | None]]) -> bool:
        """Extend people by what has landed beside their messages (`IDENTIFIERS_BESIDE_SQL`); return whether anyone was new."""
        rows = [(f"{kind}{message_id}", {name for name in given if name is not None}) for kind, message_id, *given in found]
        # Mostly nothing has landed, and the spelling rules take a DuckDB of their own.
        if not rows:
            return False
        comparable = comparable_identifiers(name for _, names in rows for name in names)
        is_extended = False
        for message, names in rows:
            hashed, identifiers = keyed_hash(self.key, message), [keyed_hash(self.key, comparable[name]) for name in names]
            for person in self.people:
                is_extended = (hashed in person.messages and self.extend(person, identifiers)) or is_extended
        return is_extended

    def remember_messages(self, person: ErasedPerson, message_ids: Iterable[str], named_ids: Iterable[str]) -> None:
        """Keep the hashes of more messages and sessions of someone who was erased, or named by that person, and write the file."""
        named = list(named_ids)
        person.messages |= {keyed_hash(self.key, _MESSAGE + message_id) for message_id in (*message_ids, *named)}
        person.messages |= {keyed_hash(self.key, _NAMED + message_id) for message_id in named}
        self.save()

    def add(self, erased_at: str, identifiers: list[str]) -> ErasedPerson:
        """Add a person by identifiers, as they are compared, and return the person; one that is known already is extended."""
        hashes = {keyed_hash(self.key, identifier) for identifier in identifiers}
        known = [person for person in self.people if person.identifiers & hashes]
        messages = set[str]().union(*(person.messages for person in known))
        merged = ErasedPerson(erased_at, hashes.union(*(person.identifiers for person in known)), messages)
        self.people = [person for person in self.people if person not in known] + [merged]
        return merged


# Rows with the id of a message and up to three identifiers, all of one person, because a message is of one chat; not those of groups.
# A send or echo counts only for an id that was named: many refused sends may have one id.
_IDENTIFIERS_BESIDE = (
    ("sends", _NAMED, "message_id", "contact_id, null, null", "true"),
    ("webhook_echoes", _NAMED, "message_id", "recipient_id, null, null", "true"),
    ("webhook_statuses", _MESSAGE, "message_id", "recipient_id, recipient_user_id, recipient_parent_user_id", "true"),
    ("webhook_messages", _MESSAGE, "context_message_id", "sender_id, sender_user_id, sender_parent_user_id", "not is_in_group"),
    ("webhook_messages", _MESSAGE, "reaction_message_id", "sender_id, sender_user_id, sender_parent_user_id", "not is_in_group"),
)
# What has landed says of the messages of `erased_messages` (kind, message_id): kind, id and three identifiers. DuckDB and Spark run it.
IDENTIFIERS_BESIDE_SQL = " union ".join(
    f"select '{kind}' as kind, {id_} as message_id, {identifiers} from raw.{table} "
    f"where {condition} and {id_} in (select message_id from erased_messages where kind = '{kind}')"
    for table, kind, id_, identifiers, condition in _IDENTIFIERS_BESIDE
)


@dataclass(frozen=True)
class _Part:
    """A part of a row of a parsed table that is of one person.

    `identifiers`, `ids` and `own_id` are SQL expressions over the row: what names the person, what names messages or sessions of
    the person, and the id of the message itself. An own id is remembered but shows nothing alone, unless a part of the person that
    `names_sends` has named it: a log may give one constant id to the refusals of many people. `withhold` clears the part; without it
    the whole row goes.
    """

    table: str
    identifiers: tuple[str, ...]
    ids: tuple[str, ...] = ()
    own_id: str | None = None
    condition: str = "true"
    withhold: str | None = None
    names_sends: bool = False


# A message in a group says nothing about who was quoted.
_PARTS: dict[str, tuple[_Part, ...]] = {
    "sends": (_Part("parsed_sends", ("contact_id",), own_id="message_id"),),
    "webhooks": (
        _Part(
            "parsed_statuses",
            ("recipient_id", "recipient_user_id", "recipient_parent_user_id"),
            ("message_id",),
            condition="has_status",
            withhold="has_status = false",
            names_sends=True,
        ),
        _Part(
            "parsed_messages",
            ("sender_id", "sender_user_id", "sender_parent_user_id"),
            ("case when not is_in_group then context_message_id end", "case when not is_in_group then reaction_message_id end"),
            condition="has_message",
            withhold="has_message = false",
            names_sends=True,
        ),
        _Part("parsed_echoes", ("recipient_id",), own_id="message_id", condition="has_echo", withhold="has_echo = false"),
        _Part(
            "parsed_identities",
            ("wa_id", "user_id", "parent_user_id", "previous_wa_id", "previous_user_id", "previous_parent_user_id"),
        ),
    ),
    "botmaker/sessions": (
        _Part(
            "parsed_botmaker_sessions",
            ("coalesce(contact_id, user_id, parent_user_id, chat_id)", "user_id", "parent_user_id"),
            ("comparable_session_id(session_id)",),
        ),
    ),
    "botmaker/sent_results": (_Part("parsed_botmaker_sent_results", ("contact_id",), ("comparable_session_id(session_id)",)),),
    "botmaker/channels": (),
    "rates": (),
}


# Texts in which the records of others may name a person (`maintenance/person_rows.py` has those of the raw tables). A message
# that quotes an id of the person is withheld as a whole.
_TEXTS = {
    "parsed_sends": ("customer_id", "chat_link", "agent_groups", "error_title", "error_details"),
    "parsed_statuses": ("error_title", "error_message", "error_details"),
    "parsed_botmaker_sessions": ("event_reason", "event_error"),
}


def withhold_erased_people(connection: duckdb.DuckDBPyConnection, feed: Feed, erased: ErasedPeople | None) -> None:
    """Take what is of erased people out of a feed's parsed rows, and note which records held any of it.

    Leaves the temporary table `erased_records` (file_index, record_number), empty where no one was erased. Erased people
    are extended by what the records say; the file of `erased` is written then, before anything is committed.
    """
    connection.execute("create or replace temp table erased_records (file_index integer, record_number bigint)")
    if erased is None or not erased.people or not _PARTS[feed.name]:
        return
    create_identifier_macros(connection)
    create_keyed_hash_macro(connection, "erasure_hash", erased.key)
    _hash_parts(connection, feed)
    _register_hashes(connection, erased)
    while _extend(connection, erased) or _extend_by_what_landed(connection, feed, erased):
        erased.save()
        _register_hashes(connection, erased)
    _withhold(connection, feed)
    connection.execute("drop table part_hashes")


def _hash_parts(connection: duckdb.DuckDBPyConnection, feed: Feed) -> None:
    """Make `part_hashes`: the hashes of each part's identifiers, of its ids, and of the numbers that its ids hold."""
    selects = []
    for number, part in enumerate(_PARTS[feed.name]):
        hashes = [("identifier", f"erasure_hash(comparable_identifier({identifier}))") for identifier in part.identifiers]
        hashes += [("id", f"erasure_hash('{_MESSAGE}' || {id_})") for id_ in part.ids]
        # A wamid holds the number in base64, also where the record names no one. Other ids hold dates and counters, so
        # what an id holds never extends a person.
        own_ids = [part.own_id] if part.own_id else []
        hashes += [("own", f"erasure_hash('{_MESSAGE}' || {id_})") for id_ in own_ids]
        hashes += [("named", f"erasure_hash('{_NAMED}' || {id_})") for id_ in own_ids]
        hashes += [("names", f"erasure_hash('{_NAMED}' || {id_})") for id_ in (part.ids if part.names_sends else ())]
        hashes += [("held", f"erasure_hash(comparable_identifier(number_in_id({id_})))") for id_ in (*part.ids, *own_ids)]
        selects += [
            f"select rowid as row_number, {number} as part, '{kind}' as kind, {hash_} as hash from {part.table} where {part.condition}"
            for kind, hash_ in hashes
        ]
    connection.execute(f"create or replace temp table part_hashes as from ({' union all '.join(selects)}) where hash is not null")


def _extend(connection: duckdb.DuckDBPyConnection, erased: ErasedPeople) -> bool:
    """Add to each erased person what the records say together with it; return whether anything was new."""
    found = connection.execute(
        """
        select
            person,
            coalesce(list(distinct hash) filter (where kind = 'identifier'), []) as identifiers,
            coalesce(list(distinct hash) filter (where kind <> 'identifier'), []) as messages
        from part_hashes
        inner join (
            select distinct person, row_number, part from part_hashes inner join erased_hashes using (hash) where kind <> 'own'
        ) using (row_number, part)
        anti join erased_hashes using (person, hash)
        where kind not in ('held', 'named')
        group by person
        """
    ).fetchall()
    is_extended = False
    for number, identifiers, messages in found:
        person = erased.people[number]
        person.messages.update(messages)
        is_extended = erased.extend(person, identifiers) or bool(messages) or is_extended
    return is_extended


def _extend_by_what_landed(connection: duckdb.DuckDBPyConnection, feed: Feed, erased: ErasedPeople) -> bool:
    """Extend erased people by what has landed beside the messages of the batch that are theirs; return whether anyone was new.

    Only these ids are looked for, and only where the batch holds some.
    """
    found: set[tuple[str, str]] = set()
    for number, part in enumerate(_PARTS[feed.name]):
        ids = [*(part.ids if part.names_sends else ()), *([part.own_id] if part.own_id else [])]
        if ids:
            rows = connection.execute(
                f"select distinct unnest([{', '.join(ids)}]) from {part.table} where rowid in "
                f"(select row_number from part_hashes semi join erased_hashes using (hash) where part = {number} and kind <> 'own')"
            ).fetchall()
            found.update((_MESSAGE, message_id) for (message_id,) in rows if message_id is not None)
            found.update((_NAMED, message_id) for (message_id,) in rows if message_id is not None and part.names_sends)
    if not found:
        return False
    erased.messages_in_clear |= found
    kinds, ids = zip(*sorted(found), strict=True)
    connection.execute(
        "create or replace temp table erased_messages as select unnest($kinds) as kind, unnest($ids) as message_id",
        {"kinds": list(kinds), "ids": list(ids)},
    )
    is_extended = erased.extend_by_messages(connection.execute(IDENTIFIERS_BESIDE_SQL).fetchall())
    connection.execute("drop table erased_messages")
    return is_extended


def _withhold(connection: duckdb.DuckDBPyConnection, feed: Feed) -> None:
    connection.execute(
        "create or replace temp table parts_to_withhold as "
        "select distinct row_number, part from part_hashes semi join erased_hashes using (hash) where kind <> 'own'"
    )
    parts = _PARTS[feed.name]
    for number, part in enumerate(parts):
        connection.execute(
            f"insert into erased_records select distinct file_index, record_number from {part.table} "
            f"where rowid in (select row_number from parts_to_withhold where part = {number})"
        )
    for table in _tables_with_texts(feed):
        # A record that was rejected for another part of it stays counted as rejected; its text goes.
        connection.execute(
            f"update {table} set record = '{ERASED_TEXT}' where record is not null "
            "and (file_index, record_number) in (select (file_index, record_number) from erased_records)"
        )
    for number, part in enumerate(parts):
        rows = f"rowid in (select row_number from parts_to_withhold where part = {number})"
        connection.execute(
            f"update {part.table} set {part.withhold} where {rows}" if part.withhold else f"delete from {part.table} where {rows}"
        )
    connection.execute("drop table parts_to_withhold")
    for table in _tables_with_texts(feed):
        _redact(connection, table)


def _tables_with_texts(feed: Feed) -> list[str]:
    return [table for table in feed.parsed_tables if table not in ("parsed_identities", "parsed_channels")]


# How many groups a number may be written in (`5 5 1 1 …`), and of how many words an identifier may consist (`US.ENT.1349`, `web-9f-2c-77`).
_MOST_GROUPS, _MOST_WORDS = 16, 6


def _leading(column: str, count: int) -> str:
    """Return the SQL list of a row's text, of it with the next row's, and so on."""
    rows = [column, *(f"lead({column}, {step}) over following" for step in range(1, count))]
    return f"[{', '.join(' || '.join(rows[:size]) for size in range(1, count + 1))}]"


# What may be a number or another identifier in a text: numbers, also in groups, and words with what joins them. A text is read as it is
# written in links, too, as is what it holds in base64. Groups are rows and not lists: a lambda keeps the list that it looks into once for
# each element, 18 GB for a text of 16 MB.
CANDIDATES_SQL = rf"""
with runs as (
    select text_number, unnest(base64_runs(readable_text(text))) as letters from texts
),

forms as (
    select *, row_number() over () as form_number
    from (
        select text_number, text as form from texts
        union
        select text_number, readable_text(text) from texts
        union
        select text_number, unnest(texts_in_base64(letters)) from runs
    )
    where form is not null
),

digits_in_groups as (
    select text_number, form_number, generate_subscripts(groups, 1) as place, unnest(groups) as digits
    from (select *, regexp_extract_all(form, '[0-9]+') as groups from forms)
),

words_in_forms as (
    select text_number, form_number, generate_subscripts(words, 1) as place, unnest(words) as word
    from (select *, regexp_extract_all(form, '[A-Za-z0-9]+[^A-Za-z0-9]*') as words from forms)
),

numbers as (
    select text_number, unnest({_leading("digits", _MOST_GROUPS)}) as candidate
    from digits_in_groups
    window following as (partition by form_number order by place)
),

identifiers as (
    select text_number, regexp_replace(unnest({_leading("word", _MOST_WORDS)}), '[^A-Za-z0-9]+$', '') as candidate
    from words_in_forms
    window following as (partition by form_number order by place)
),

candidates as (
    select * from numbers
    union all
    select * from identifiers
)

select text_number, candidate
from candidates
where regexp_full_match(candidate, '[A-Za-z0-9][A-Za-z0-9._-]{{4,}}|[A-Z]{{2}}[.].*')
"""


def _redact(connection: duckdb.DuckDBPyConnection, table: str) -> None:
    """Clear the texts of other people's records, and of rejected ones, that name an erased person; the records count as before."""
    # A record without a problem is not kept: inbound messages have one each, with sixty groups of digits.
    for text, condition in (("record", "problem is not null"), *((text, "true") for text in _TEXTS.get(table, ()))):
        connection.execute(
            f"""
            create or replace temp table texts as
            select row_number() over () as text_number, text
            from (select distinct {text} as text from {table} where {text} <> '{ERASED_TEXT}' and {condition})
            """
        )
        connection.execute(
            f"""
            update {table} set {text} = '{ERASED_TEXT}'
            where {text} in (
                select text
                from texts
                semi join (
                    select text_number
                    from ({CANDIDATES_SQL})
                    where erasure_hash(comparable_identifier(candidate)) in (select hash from erased_hashes)
                ) using (text_number)
            )
            """
        )
    connection.execute("drop table texts")


def _register_hashes(connection: duckdb.DuckDBPyConnection, erased: ErasedPeople) -> None:
    """Create `erased_hashes`: each `hash`, and the place in `erased.people` of its `person`."""
    rows = [(number, hash_) for number, person in enumerate(erased.people) for hash_ in sorted(person.identifiers | person.messages)]
    people, hashes = [number for number, _ in rows], [hash_ for _, hash_ in rows]
    connection.register("erased_hashes_given", pa.table({"person": pa.array(people, pa.int32()), "hash": pa.array(hashes, pa.string())}))
    connection.execute("create or replace temp table erased_hashes as from erased_hashes_given")
    connection.unregister("erased_hashes_given")

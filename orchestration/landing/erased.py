"""Keep erased people erased (contract, section 3): their records that arrive later are counted and withheld.

The list stores keyed hashes of each person's identifiers and of the ids of messages sent to them. It lives in the data folder, not
in the warehouse, so it survives a rebuild of the warehouse. A record that contains an erased identifier together with an unknown
one extends the person: the new user id of an erased number is erased like the number.
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

# Prefixes of message ids before hashing, so that a message id is never mistaken for an identifier of a person. The second kind marks
# ids that a status or a reply of the person refers to, which proves that the message went to the person. Files of earlier versions
# contain it, too.
_MESSAGE, _REFERENCED_MESSAGE = "message:", "status:"

# More than this is a data error (contract, section 2.1), which must not erase one person after another.
MAX_IDENTIFIERS = 20

ERASED_TEXT = "(erased)"


@dataclass
class ErasedPerson:
    """The hashes of one erased person: of comparable identifiers, and of the ids of messages sent to the person."""

    erased_at: str
    identifiers: set[str] = field(default_factory=set)
    messages: set[str] = field(default_factory=set)


@dataclass
class ErasedPeople:
    """All people erased from a data folder. `key` is a secret, so it is left out of the representation.

    `has_new_identifiers` is true if a person is new, or has new identifiers, whose rows may be in the warehouse
    (`maintenance/late_erasure.py`). `messages_in_clear` contains the kinds and ids of their messages seen since the file was read;
    it is never written to disk.
    """

    path: Path
    key: bytes = field(repr=False)
    people: list[ErasedPerson] = field(default_factory=list)
    has_new_identifiers: bool = False
    messages_in_clear: set[tuple[str, str]] = field(default_factory=set, repr=False, compare=False)

    @classmethod
    def load(cls, data: Path) -> "ErasedPeople":
        """Read the file of a data folder; without a file, no one is erased. Raises `LandingError` if the file is not valid."""
        path = data / "erased_people.json"
        try:
            people = cls.from_json(path, json.loads(read_start(path).decode()))
            people._check()
            return people
        except FileNotFoundError:
            return cls(path, secrets.token_bytes(_KEY_BYTES))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise LandingError(
                f"{path} cannot be read, so it is unknown who was erased, and nothing is landed. Restore it from a backup. "
                "If there is no backup, delete it and erase those people again."
            ) from error

    @classmethod
    def from_json(cls, path: Path, stored: Mapping[str, Any]) -> Self:
        people = [ErasedPerson(p["erased_at"], set(p["identifiers"]), set(p["messages"])) for p in stored["people"]]
        return cls(path, bytes.fromhex(stored["key"]), people, stored.get("has_new_identifiers", False) is True)

    def _check(self) -> None:
        """Raise `ValueError` if the key or a hash is malformed; without this check, erased people would silently return."""
        hashes = set().union(*(person.identifiers | person.messages for person in self.people))
        if len(self.key) != _KEY_BYTES or not all(isinstance(hash_, str) and _HASH.fullmatch(hash_) for hash_ in hashes):
            raise ValueError("the key or a hash is malformed")

    def as_json(self) -> dict[str, Any]:
        """Return the content of the file."""
        people = [
            {"erased_at": person.erased_at, "identifiers": sorted(person.identifiers), "messages": sorted(person.messages)}
            for person in self.people
        ]
        return {"key": self.key.hex(), "has_new_identifiers": self.has_new_identifiers, "people": people}

    def merge(self, people: Iterable[Mapping[str, Any]]) -> bool:
        """Add what other processes, which started with the same people, found for them; return whether anything was new."""
        before = [(len(person.identifiers), len(person.messages)) for person in self.people]
        for found in people:
            for person in self.people:
                if not person.identifiers.isdisjoint(found["identifiers"]):
                    self.has_new_identifiers = self.has_new_identifiers or not person.identifiers.issuperset(found["identifiers"])
                    person.identifiers |= set(found["identifiers"])
                    person.messages |= set(found["messages"])
        return before != [(len(person.identifiers), len(person.messages)) for person in self.people]

    def save(self) -> None:
        """Replace the whole file; only its owner may read it."""
        replace_private_file(self.path, json.dumps(self.as_json(), indent=1))

    def find(self, identifier: str) -> ErasedPerson | None:
        """Return the erased person with a comparable identifier, or None."""
        hashed = keyed_hash(self.key, identifier)
        return next((person for person in self.people if hashed in person.identifiers), None)

    def by_person(self, identifiers: Iterable[str]) -> list[tuple[ErasedPerson, list[str]]]:
        """Return the erased people who have any of these comparable identifiers, each with those identifiers."""
        hashes = {identifier: keyed_hash(self.key, identifier) for identifier in identifiers}
        found = [(person, [name for name, hashed in hashes.items() if hashed in person.identifiers]) for person in self.people]
        return [(person, names) for person, names in found if names]

    def extend(self, person: ErasedPerson, identifiers: Iterable[str]) -> bool:
        """Add identifier hashes to an erased person, unless that makes too many; return whether any was added."""
        together = person.identifiers.union(identifiers)
        if together == person.identifiers or len(together) > MAX_IDENTIFIERS:
            return False
        person.identifiers = together
        self.has_new_identifiers = True
        return True

    def extend_by_identifiers(self, person: ErasedPerson, identifiers: Iterable[str]) -> list[str]:
        """Add comparable identifiers, unless that makes too many; return those that now belong to the person."""
        hashes = {identifier: keyed_hash(self.key, identifier) for identifier in identifiers}
        self.extend(person, hashes.values())
        return [identifier for identifier, hashed in hashes.items() if hashed in person.identifiers]

    def extend_from_landed_rows(self, found: Iterable[Sequence[str | None]]) -> bool:
        """Extend people by identifiers that landed with their messages (`MESSAGE_IDENTIFIERS_SQL`); return whether any was new."""
        rows = [(f"{kind}{message_id}", {name for name in given if name is not None}) for kind, message_id, *given in found]
        # Usually nothing has landed, and `comparable_identifiers` opens a DuckDB of its own.
        if not rows:
            return False
        comparable = comparable_identifiers(name for _, names in rows for name in names)
        is_extended = False
        for message, names in rows:
            hashed, identifiers = keyed_hash(self.key, message), [keyed_hash(self.key, comparable[name]) for name in names]
            for person in self.people:
                is_extended = (hashed in person.messages and self.extend(person, identifiers)) or is_extended
        return is_extended

    def add_messages(self, person: ErasedPerson, message_ids: Iterable[str], referenced_ids: Iterable[str]) -> None:
        """Add hashes of messages and sessions of an erased person, and of ids that the person's records refer to; save the file."""
        named = list(referenced_ids)
        person.messages |= {keyed_hash(self.key, _MESSAGE + message_id) for message_id in (*message_ids, *named)}
        person.messages |= {keyed_hash(self.key, _REFERENCED_MESSAGE + message_id) for message_id in named}
        self.save()

    def add(self, erased_at: str, identifiers: list[str]) -> ErasedPerson:
        """Add a person by comparable identifiers, merged with people who already have any of them; return the person.

        The person's rows have landed. If they are not deleted because the command is killed, the next run deletes them.
        """
        hashes = {keyed_hash(self.key, identifier) for identifier in identifiers}
        known = [person for person in self.people if person.identifiers & hashes]
        messages = set[str]().union(*(person.messages for person in known))
        merged = ErasedPerson(erased_at, hashes.union(*(person.identifiers for person in known)), messages)
        self.people = [person for person in self.people if person not in known] + [merged]
        self.has_new_identifiers = True
        return merged


# Tables with a message id and up to three identifiers per row. All are of one person, because a message belongs to one chat; messages in
# groups are excluded. A send or echo counts only for an id that was referred to, because many refused sends may share one id.
_MESSAGE_IDENTIFIERS = (
    ("sends", _REFERENCED_MESSAGE, "message_id", "contact_id, null, null", "true"),
    ("webhook_echoes", _REFERENCED_MESSAGE, "message_id", "recipient_id, null, null", "true"),
    ("webhook_statuses", _MESSAGE, "message_id", "recipient_id, recipient_user_id, recipient_parent_user_id", "true"),
    ("webhook_messages", _MESSAGE, "context_message_id", "sender_id, sender_user_id, sender_parent_user_id", "not is_in_group"),
    ("webhook_messages", _MESSAGE, "reaction_message_id", "sender_id, sender_user_id, sender_parent_user_id", "not is_in_group"),
)
# Selects the rows that landed for the messages in `erased_messages` (kind, message_id): kind, id and three identifiers. Runs on DuckDB
# and Spark.
MESSAGE_IDENTIFIERS_SQL = " union ".join(
    f"select '{kind}' as kind, {id_} as message_id, {identifiers} from raw.{table} "
    f"where {condition} and {id_} in (select message_id from erased_messages where kind = '{kind}')"
    for table, kind, id_, identifiers, condition in _MESSAGE_IDENTIFIERS
)


@dataclass(frozen=True)
class _Part:
    """A part of a row in a parsed table that belongs to one person.

    `identifiers`, `ids` and `own_id` are SQL expressions over the row: the person's identifiers, the ids of the person's messages
    or sessions, and the id of the record itself. A part whose own id contains a number of the person is the person's. The id of a send
    (`is_send`) is stored, but does not identify the person unless a part of the person with `refers_to_sends` refers to it, because a
    log may give one constant id to the refused sends of many people. `withhold` clears the part; without it, the whole row is deleted,
    unless it `may_have_problem` and has one: then its record counts as rejected.
    """

    table: str
    identifiers: tuple[str, ...]
    ids: tuple[str, ...] = ()
    own_id: str | None = None
    condition: str = "true"
    withhold: str | None = None
    may_have_problem: bool = False
    is_send: bool = False
    refers_to_sends: bool = False


# A message in a group does not show whom it quotes.
_PARTS: dict[str, tuple[_Part, ...]] = {
    "sends": (_Part("parsed_sends", ("contact_id",), own_id="message_id", may_have_problem=True, is_send=True),),
    "webhooks": (
        _Part(
            "parsed_statuses",
            ("recipient_id", "recipient_user_id", "recipient_parent_user_id"),
            ("message_id",),
            own_id="message_id",
            condition="has_status",
            withhold="has_status = false",
            refers_to_sends=True,
        ),
        _Part(
            "parsed_messages",
            ("sender_id", "sender_user_id", "sender_parent_user_id"),
            ("case when not is_in_group then context_message_id end", "case when not is_in_group then reaction_message_id end"),
            own_id="message_id",
            condition="has_message",
            withhold="has_message = false",
            refers_to_sends=True,
        ),
        _Part(
            "parsed_echoes",
            ("recipient_id",),
            own_id="message_id",
            condition="has_echo",
            withhold="has_echo = false",
            is_send=True,
        ),
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
            own_id="session_id",
            withhold="is_session = false, has_event = false, has_message = false",
        ),
    ),
    "botmaker/sent_results": (
        _Part(
            "parsed_botmaker_sent_results",
            ("contact_id",),
            ("comparable_session_id(session_id)",),
            own_id="session_id",
            may_have_problem=True,
        ),
    ),
    "botmaker/channels": (),
    "rates": (),
}


# The kinds of hashes that show whose a part is. Ids contain dates and counters, so a number inside an id only withholds its part.
_IS_IDENTIFYING = "kind in ('identifier', 'id', 'referenced_id', 'send_id_if_referenced')"

# Columns in which other people's records may name a person (`maintenance/person_rows.py` lists those of the raw tables).
_TEXT_COLUMNS = {
    "parsed_sends": ("customer_id", "chat_link", "agent_groups", "error_title", "error_details"),
    "parsed_statuses": ("error_title", "error_message", "error_details"),
    "parsed_messages": ("context_message_id", "reaction_message_id"),
    "parsed_botmaker_sessions": ("event_reason", "event_error"),
}


def withhold_erased_people(connection: duckdb.DuckDBPyConnection, feed: Feed, erased: ErasedPeople | None) -> None:
    """Remove the data of erased people from a feed's parsed rows, and store which records contained any of it.

    Creates the temporary table `erased_records` (file_index, record_number), which is empty if no one was erased. Erased people
    gain the identifiers that records show to be theirs. In that case the file of `erased` is written, before anything is committed.
    """
    connection.execute("create or replace temp table erased_records (file_index integer, record_number bigint)")
    if erased is None or not erased.people or not _PARTS[feed.name]:
        return
    create_identifier_macros(connection)
    create_keyed_hash_macro(connection, "erasure_hash", erased.key)
    _hash_parts(connection, feed)
    _register_hashes(connection, erased)
    while _extend_from_batch(connection, erased) or _extend_from_landed_rows(connection, feed, erased):
        erased.save()
        _register_hashes(connection, erased)
    _withhold(connection, feed)
    connection.execute("drop table part_hashes")


def _hash_parts(connection: duckdb.DuckDBPyConnection, feed: Feed) -> None:
    """Create `part_hashes`: the hashes of each part's identifiers, of its ids, and of the phone numbers inside its ids."""
    selects = []
    for number, part in enumerate(_PARTS[feed.name]):
        hashes = [("identifier", f"erasure_hash(comparable_identifier({identifier}))") for identifier in part.identifiers]
        hashes += [("id", f"erasure_hash('{_MESSAGE}' || {id_})") for id_ in part.ids]
        if part.is_send:
            hashes.append(("send_id", f"erasure_hash('{_MESSAGE}' || {part.own_id})"))
            hashes.append(("send_id_if_referenced", f"erasure_hash('{_REFERENCED_MESSAGE}' || {part.own_id})"))
        hashes += [
            ("referenced_id", f"erasure_hash('{_REFERENCED_MESSAGE}' || {id_})") for id_ in (part.ids if part.refers_to_sends else ())
        ]
        # A wamid contains the number in base64, even if the record has no identifier.
        if part.own_id is not None:
            hashes.append(("number_in_id", f"erasure_hash(comparable_identifier(number_in_id({part.own_id})))"))
        selects += [
            f"select rowid as row_number, {number} as part, '{kind}' as kind, {hash_} as hash from {part.table} where {part.condition}"
            for kind, hash_ in hashes
        ]
    connection.execute(f"create or replace temp table part_hashes as from ({' union all '.join(selects)}) where hash is not null")


def _extend_from_batch(connection: duckdb.DuckDBPyConnection, erased: ErasedPeople) -> bool:
    """Add to each erased person the hashes that records contain together with a known one; return whether any was new."""
    found = connection.execute(
        f"""
        select
            person,
            coalesce(list(distinct hash) filter (where kind = 'identifier'), []) as identifiers,
            coalesce(list(distinct hash) filter (where kind <> 'identifier'), []) as messages
        from part_hashes
        inner join (
            select distinct person, row_number, part
            from part_hashes
            inner join erased_hashes using (hash)
            where {_IS_IDENTIFYING}
        ) using (row_number, part)
        anti join erased_hashes using (person, hash)
        where kind not in ('number_in_id', 'send_id_if_referenced')
        group by person
        """
    ).fetchall()
    is_extended = False
    for number, identifiers, messages in found:
        person = erased.people[number]
        person.messages.update(messages)
        is_extended = erased.extend(person, identifiers) or bool(messages) or is_extended
    return is_extended


def _extend_from_landed_rows(connection: duckdb.DuckDBPyConnection, feed: Feed, erased: ErasedPeople) -> bool:
    """Extend erased people by identifiers that landed with their messages in this batch; return whether any was new.

    The query looks up only these ids, and runs only if the batch contains any.
    """
    found: set[tuple[str, str]] = set()
    for number, part in enumerate(_PARTS[feed.name]):
        ids = [*(part.ids if part.refers_to_sends else ()), *([part.own_id] if part.is_send else [])]
        if ids:
            rows = connection.execute(
                f"select distinct unnest([{', '.join(ids)}]) from {part.table} where rowid in "
                "(select row_number from part_hashes semi join erased_hashes using (hash) "
                f"where part = {number} and {_IS_IDENTIFYING})"
            ).fetchall()
            found.update((_MESSAGE, message_id) for (message_id,) in rows if message_id is not None)
            found.update((_REFERENCED_MESSAGE, message_id) for (message_id,) in rows if message_id is not None and part.refers_to_sends)
    if not found:
        return False
    erased.messages_in_clear |= found
    kinds, ids = zip(*sorted(found), strict=True)
    connection.execute(
        "create or replace temp table erased_messages as select unnest($kinds) as kind, unnest($ids) as message_id",
        {"kinds": list(kinds), "ids": list(ids)},
    )
    is_extended = erased.extend_from_landed_rows(connection.execute(MESSAGE_IDENTIFIERS_SQL).fetchall())
    connection.execute("drop table erased_messages")
    return is_extended


def _withhold(connection: duckdb.DuckDBPyConnection, feed: Feed) -> None:
    connection.execute(
        "create or replace temp table parts_to_withhold as "
        "select distinct row_number, part from part_hashes semi join erased_hashes using (hash) where kind <> 'send_id'"
    )
    parts = _PARTS[feed.name]
    for number, part in enumerate(parts):
        connection.execute(
            f"insert into erased_records select distinct file_index, record_number from {part.table} "
            f"where rowid in (select row_number from parts_to_withhold where part = {number})"
        )
    # A record that was rejected because of another part still counts as rejected; its text is cleared.
    connection.execute(
        f"update {feed.parsed_tables[0]} set record = '{ERASED_TEXT}' where record is not null "
        "and (file_index, record_number) in (select (file_index, record_number) from erased_records)"
    )
    for number, part in enumerate(parts):
        rows = f"rowid in (select row_number from parts_to_withhold where part = {number})"
        if part.withhold is not None:
            connection.execute(f"update {part.table} set {part.withhold} where {rows}")
        else:
            connection.execute(f"delete from {part.table} where {rows}" + " and problem is null" * part.may_have_problem)
    connection.execute("drop table parts_to_withhold")
    _redact(connection, feed)


# The most groups in which a number may be written (`5 5 1 1 …`), and the most words of an identifier (`US.ENT.1349`, `web-9f-2c-77`).
_MAX_GROUPS, _MAX_WORDS = 16, 6


def _joined_with_following(column: str, count: int) -> str:
    """Return a SQL list: the row's text, the row's text followed by the next row's, and so on, up to `count` rows."""
    rows = [column, *(f"lead({column}, {step}) over following" for step in range(1, count))]
    return f"[{', '.join(' || '.join(rows[:size]) for size in range(1, count + 1))}]"


# Finds possible identifiers in a text: numbers, including numbers in groups, and words with the characters that join them. The query
# reads the text as written, with URL escapes decoded, and what it contains in base64. Groups are rows, not lists, because a lambda
# copies the list that it reads once per element: 18 GB for a text of 16 MB.
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
    select text_number, unnest({_joined_with_following("digits", _MAX_GROUPS)}) as candidate
    from digits_in_groups
    window following as (partition by form_number order by place)
),

identifiers as (
    select text_number, regexp_replace(unnest({_joined_with_following("word", _MAX_WORDS)}), '[^A-Za-z0-9]+$', '') as candidate
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


def _redact(connection: duckdb.DuckDBPyConnection, feed: Feed) -> None:
    """Clear texts that name an erased person in other people's and in rejected records; the counts of records do not change."""
    # The text of a record without a problem is not stored, so it is skipped: every body with messages has such a text, with sixty groups
    # of digits per message.
    is_rejected = "(file_index, record_number) in (select (file_index, record_number) from parsed_records where problem is not null)"
    columns = [
        (feed.parsed_tables[0], "record", is_rejected),
        *((table, text, "true") for table in feed.parsed_tables for text in _TEXT_COLUMNS.get(table, ())),
    ]
    texts = " union ".join(
        f"select {text} as text from {table} where {text} <> '{ERASED_TEXT}' and {condition}" for table, text, condition in columns
    )
    connection.execute(f"create or replace temp table texts as select row_number() over () as text_number, text from ({texts})")
    connection.execute(
        f"""
        create or replace temp table texts_to_erase as
        select text
        from texts
        semi join (
            select text_number
            from ({CANDIDATES_SQL})
            where erasure_hash(comparable_identifier(candidate)) in (select hash from erased_hashes)
        ) using (text_number)
        """
    )
    if connection.execute("select count(*) from texts_to_erase").fetchone() != (0,):
        for table, text, _ in columns:
            connection.execute(f"update {table} set {text} = '{ERASED_TEXT}' where {text} in (select text from texts_to_erase)")
    connection.execute("drop table texts")
    connection.execute("drop table texts_to_erase")


def _register_hashes(connection: duckdb.DuckDBPyConnection, erased: ErasedPeople) -> None:
    """Create `erased_hashes`: each `hash` with its `person`, an index into `erased.people`."""
    rows = [(number, hash_) for number, person in enumerate(erased.people) for hash_ in sorted(person.identifiers | person.messages)]
    people, hashes = [number for number, _ in rows], [hash_ for _, hash_ in rows]
    connection.register("erased_hashes_arrow", pa.table({"person": pa.array(people, pa.int32()), "hash": pa.array(hashes, pa.string())}))
    connection.execute("create or replace temp table erased_hashes as from erased_hashes_arrow")
    connection.unregister("erased_hashes_arrow")

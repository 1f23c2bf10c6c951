"""Erase a person from everything below the data folder (GDPR article 17, LGPD article 18; contract, section 3).

A person is the set of all identifiers that the records connect (section 2.1). DuckDB keeps deleted rows in its file until the
space is reused. The warehouse is therefore rewritten from the raw rows of everybody else, and everything after raw is rebuilt
from those. A list of erased people as keyed hashes (`landing/erased.py`) prevents later files from bringing a person back.
"""

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from orchestration.errors import StartsError
from orchestration.exports.on_demand import remove_all_on_demand
from orchestration.files import put_in_place, quoted
from orchestration.identifiers import all_spellings, comparable_identifier, create_identifier_macros
from orchestration.landing.erased import ErasedPeople
from orchestration.landing.migrations import prepare_raw_schema
from orchestration.maintenance.person_rows import (
    FILE_AND_LOAD,
    IDS_OF_PERSON,
    REFERENCED_IDS,
    ROWS_OF_PERSON,
    ROWS_THAT_NAME_PERSON,
    TABLES_OF_RECORDS,
    create_evidence,
    create_holds_person,
    create_known_hashes,
    spelling_of,
    without_texts,
)
from orchestration.settings import Settings
from orchestration.transform.builds import invalidate_builds
from orchestration.warehouse import configure, draft_of_warehouse, remove_draft

# Shorter input is probably a typo and would match other people's ids.
_SHORTEST_IDENTIFIER = 5

# The longest spelling of a number, with three characters between any two of its digits, or of a user id.
_LONGEST_SPELLING = 1024
_BASE64_LETTERS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_")
_LETTERS_BEFORE, _LETTERS_AFTER = 4, 12
# A shorter identifier has too few base64 letters of its own.
_SHORTEST_IN_BASE64 = 8


@dataclass(frozen=True)
class Erasure:
    """What an erasure deletes: the number of raw rows by table, and the names of files in the landing zone that contain the person.

    `identifiers` are all identifiers of the person, in comparable form.
    """

    identifiers: list[str] = field(repr=False)
    rows: dict[str, int]
    landing_files: list[str]


def check_identifier(identifier: str) -> None:
    """Raise `StartsError` for a text that is too short to be a person's whole number or user id."""
    if len(comparable_identifier(identifier).strip()) < _SHORTEST_IDENTIFIER:
        raise StartsError("That is too short for a person's identifier: write the whole number or user id, such as 5511987654321.")


def plan_erasure(settings: Settings, identifier: str) -> Erasure:
    """Return what erasing a person would delete. The table of people must be up to date; the caller holds the writer's lock."""
    with duckdb.connect() as connection:
        connection.execute(f"attach {quoted(settings.warehouse_path)} as old (read_only)")
        configure(connection, settings)
        identifiers = _prepare(connection, settings, comparable_identifier(identifier))
        return Erasure(identifiers, _count(connection), _landing_files(connection))


def erase_person(settings: Settings, identifier: str) -> Erasure:
    """Rewrite the warehouse without a person. The job must run afterwards; it rebuilds everything else.

    The table of people must be up to date, and the caller holds the writer's lock of a warehouse with landed data. The hashes are
    saved before anything is deleted, so after a crash at any point the next run deletes the rows (`late_erasure.py`).
    """
    draft = draft_of_warehouse(settings)
    try:
        erasure = _write_without_person(settings, comparable_identifier(identifier), draft)
        put_in_place(draft, settings.warehouse_path)
    finally:
        # A full disk, for example, leaves a partial draft.
        remove_draft(settings)
    _remove_exports_on_demand(settings)
    return erasure


def _write_without_person(settings: Settings, identifier: str, draft: Path) -> Erasure:
    """Save the hashes of the person, then write the raw rows of everybody else to a draft of the warehouse."""
    with duckdb.connect() as connection:
        connection.execute(f"attach {quoted(settings.warehouse_path)} as old (read_only)")
        configure(connection, settings)
        connection.execute(f"attach {quoted(draft)} as new")
        identifiers = _prepare(connection, settings, identifier)
        erasure = Erasure(identifiers, _count(connection), _landing_files(connection))
        save_hashes(settings, identifiers, *ids_of_person(connection))
        _copy_remaining_rows(connection)
        connection.execute("use new")
        invalidate_builds(connection, after_erasure=True)
        connection.execute("use memory")
        connection.execute("detach new")
        connection.execute("detach old")
    return erasure


def revoke_erasure(settings: Settings, identifier: str, mark_files_to_reread: Callable[[], list[str]]) -> list[str] | None:
    """Revoke an erasure: `mark_files_to_reread` makes the next run read files with erased records again; then delete the hashes.

    Return the result of `mark_files_to_reread`, or None if the person had not been erased. The caller holds the writer's lock. The hashes
    are deleted last, so after a crash the erasure can be revoked again.
    """
    erased = ErasedPeople.load(settings.data)
    person = erased.find(comparable_identifier(identifier))
    if person is None:
        return None
    files = mark_files_to_reread()
    erased.people.remove(person)
    erased.save()
    return files


def files_containing(folder: Path, identifiers: list[str]) -> list[Path]:
    """Return the files below a folder that still contain an identifier, in plain text or in base64.

    Compressed content is not searched; compressed files of the marts are rebuilt from the rows of everybody else.
    """
    names = all_spellings(identifiers)
    readable = "|".join(spelling_of(identifier) for identifier in names).encode()
    # A text has three spellings in base64, depending on where it begins.
    spellings = [spelling for name in names if len(name) >= _SHORTEST_IN_BASE64 for spelling in _base64_spellings(name.encode())]
    search = _Search(re.compile(readable), re.compile(b"|".join(map(re.escape, spellings)) or b"(?!)"))
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and _holds(path, search)]


def _prepare(connection: duckdb.DuckDBPyConnection, settings: Settings, identifier: str) -> list[str]:
    """Collect the person's identifiers and the ids of the person's messages and sessions; return the identifiers."""
    erased = ErasedPeople.load(settings.data)
    create_identifier_macros(connection)
    # A person who was erased before may have new identifiers, whose rows may already have landed.
    person = erased.find(identifier)
    known = create_known_hashes(connection, erased, [person]) if person is not None else "false"
    found = connection.execute(
        f"""
        with named as (
            select $identifier as identifier
            union
            select identifier from old.intermediate.int_people_identified where {known}
        )
        select identifier from old.intermediate.int_people_identified
        where person_id in (select person_id from old.intermediate.int_people_identified semi join named using (identifier))
        union
        from named
        order by all
        """,
        {"identifier": identifier},
    )
    identifiers = [name for (name,) in found.fetchall()]
    create_person_macros_in(connection, "old.raw", identifiers)
    return identifiers


def _count(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    counts = {}
    for table, condition in ROWS_OF_PERSON.items():
        row = connection.execute(f"select count(*) from old.raw.{table} where {condition}").fetchone()
        assert row is not None
        counts[table] = int(row[0])
    return counts


def _landing_files(connection: duckdb.DuckDBPyConnection) -> list[str]:
    found = " union ".join(
        f"select {FILE_AND_LOAD[table]} from old.raw.{table} where {condition}" for table, condition in ROWS_THAT_NAME_PERSON.items()
    )
    return names_in_zone(connection, found, "old.raw")


def names_in_zone(connection: duckdb.DuckDBPyConnection, found: str, raw: str) -> list[str]:
    """Return the names that some landed contents have in the landing zone now.

    `found` is a query of file_name, as landed, and load_id, which may be null.
    """
    rows = connection.execute(
        f"""
        select distinct l.file_name
        from ({found}) as found
        inner join {raw}.landed_files as f on f.file_name = found.file_name and f.load_id = coalesce(found.load_id, f.load_id)
        inner join {raw}.landing_listing as l on l.feed = f.feed and l.content_sha256 = f.content_sha256
        order by all
        """
    ).fetchall()
    return [name for (name,) in rows]


def save_hashes(settings: Settings, identifiers: list[str], ids: list[str], referenced_ids: list[str]) -> None:
    """Save the hashes of a person's identifiers, of the ids of their messages and sessions, and of the ids that their rows refer to."""
    erased = ErasedPeople.load(settings.data)
    person = erased.add(f"{datetime.now(UTC):%Y-%m-%d}", identifiers)
    erased.add_messages(person, ids, referenced_ids)


def _copy_remaining_rows(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("use new")
    prepare_raw_schema(connection)
    connection.execute("use memory")
    count_erased_records(connection, "old.raw")
    tables = connection.execute(
        "select schema_name, table_name from duckdb_tables() where database_name = 'old' and schema_name in ('raw', 'state')"
    ).fetchall()
    for schema, table in tables:
        condition = f"where not coalesce({ROWS_OF_PERSON[table]}, false)" if table in ROWS_OF_PERSON else ""
        connection.execute(f"delete from new.{schema}.{table}")
        connection.execute(
            f"insert into new.{schema}.{table} by name select * {_replacements(table)} from old.{schema}.{table} as t {condition}"
        )


def _replacements(table: str) -> str:
    """Return the clause that replaces columns of a table: texts without the person, and the counts of the ledger."""
    if table == "landed_files":
        erased = "coalesce((select e.records from erased_counts as e where e.file_name = t.file_name and e.load_id = t.load_id), 0)"
        return f"replace (landed - {erased} as landed, erased + {erased} as erased)"
    return without_texts(table)


def create_person_macros_in(connection: duckdb.DuckDBPyConnection, raw: str, identifiers: list[str]) -> None:
    """Create the tables and macros for conditions on rows, with the ids of the person's messages and sessions in a raw schema."""
    create_evidence_in(connection, raw, identifiers)
    create_holds_person(connection, identifiers)


def create_evidence_in(connection: duckdb.DuckDBPyConnection, raw: str, identifiers: list[str]) -> None:
    """Create the tables for `EVIDENCE`, with the ids in a raw schema."""
    create_evidence(connection, identifiers)
    for name, of_tables in (("erased_ids", IDS_OF_PERSON), ("referenced_ids", REFERENCED_IDS)):
        ids = " union ".join(f"select {id_} as id from {raw}.{table} where {condition}" for table, (id_, condition) in of_tables.items())
        connection.execute(f"insert into {name} from ({ids}) where id is not null")


def ids_of_person(connection: duckdb.DuckDBPyConnection) -> tuple[list[str], list[str]]:
    """Return the ids of messages and sessions of the person passed to `create_person_macros_in`, and the ids that their rows refer to."""
    own, referenced = ([id_ for (id_,) in connection.execute(f"from {name}").fetchall()] for name in ("erased_ids", "referenced_ids"))
    return own, referenced


def count_erased_records(connection: duckdb.DuckDBPyConnection, raw: str) -> None:
    """Create `erased_counts`: by file and load, the number of landed records that lose at least one row of a raw schema."""
    lines = " union all ".join(
        f"select _file_name, _load_id, _line_number, {table in TABLES_OF_RECORDS} as is_record from {raw}.{table} where {condition}"
        for table, condition in ROWS_OF_PERSON.items()
    )
    connection.execute(f"create or replace temp table erased_counts as {erased_records_by_file(lines, raw)}")


def erased_records_by_file(lines: str, raw: str) -> str:
    """Return a query of file_name, load_id and records: by file and load, the number of landed records that lose at least one row.

    `lines` is a query of _file_name, _load_id, _line_number and is_record, with a row per raw row. Several records may share a source
    line, as the items of a page do. Where each record has one row (`TABLES_OF_RECORDS`), the rows are counted. Of a body of WhatsApp,
    which has many, only the line is known, so several bodies on one line count as one. A body of which another part was rejected stays
    counted as rejected.
    """
    return f"""
        with by_line as (
            select _file_name, _load_id, _line_number, count(*) filter (is_record) as records
            from ({lines})
            group by all
        ),

        rejected_lines as (
            select distinct feed, content_sha256, line_number from {raw}.rejected_records
        )

        select
            l._file_name as file_name,
            l._load_id as load_id,
            least(
                sum(case when l.records > 0 then l.records when r.line_number is null then 1 else 0 end)::bigint, any_value(f.landed)
            ) as records
        from by_line as l
        inner join {raw}.landed_files as f on l._file_name = f.file_name and l._load_id = f.load_id
        left join rejected_lines as r on f.feed = r.feed and f.content_sha256 = r.content_sha256 and l._line_number = r.line_number
        group by l._file_name, l._load_id
    """


def _remove_exports_on_demand(settings: Settings) -> None:
    """Remove all exports on demand; the job replaces everything else.

    With masked contacts, it is not certain which people an export contains.
    """
    remove_all_on_demand(settings)


def _base64_spellings(text: bytes) -> list[bytes]:
    spellings = []
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + text)
        # The first and last letters share bits with the characters before and after.
        spellings.append(encoded[(0, 2, 3)[offset] : len(encoded) - (0, 4, 4)[(offset + len(text)) % 3]])
    return spellings


@dataclass(frozen=True)
class _Search:
    """The patterns of a person's identifiers in plain text and in base64."""

    readable: re.Pattern[bytes]
    in_base64: re.Pattern[bytes]

    def finds(self, content: bytes) -> bool:
        return self.readable.search(content) is not None or any(
            self._holds_person(content, match) for match in self.in_base64.finditer(content)
        )

    def _holds_person(self, content: bytes, match: re.Match[bytes]) -> bool:
        """Return whether base64 spells a whole identifier: others begin with the same digits, and so with the same letters."""
        start, end = match.span()
        # The letters beside the match encode the characters beside the identifier.
        while start > 0 and match.start() - start < _LETTERS_BEFORE and content[start - 1] in _BASE64_LETTERS:
            start -= 1
        while end < len(content) and end - match.end() < _LETTERS_AFTER and content[end] in _BASE64_LETTERS:
            end += 1
        return any(self.readable.search(_from_base64(content[first:end])) for first in range(start, min(start + 4, end)))


def _from_base64(letters: bytes) -> bytes:
    """Decode letters of either alphabet; a last letter that is too short for a byte is dropped."""
    letters = letters[: len(letters) - (len(letters) % 4 == 1)]
    return base64.b64decode(letters + b"=" * (-len(letters) % 4), altchars=b"-_" if b"-" in letters or b"_" in letters else None)


def _holds(path: Path, search: _Search) -> bool:
    with path.open("rb") as file:
        tail = b""
        while piece := file.read(1 << 24):
            window = tail + piece
            if search.finds(window):
                return True
            tail = window[-_LONGEST_SPELLING:]
    return False

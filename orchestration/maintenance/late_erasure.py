"""Delete rows that landed before they were known to belong to an erased person, or that an interrupted `erase` left.

A record that names an erased identifier together with a new one extends the person (`landing/erased.py`). Rows with the new identifier
may already have landed: in an earlier run, or in the same run from a feed that is read earlier. Deleting them makes the marts the same
in whatever order the records arrive.
"""

from functools import partial

import duckdb

from orchestration.exports.on_demand import remove_all_on_demand
from orchestration.identifiers import create_identifier_macros
from orchestration.landing.erased import ERASED_TEXT, ErasedPeople
from orchestration.maintenance.erasure import count_erased_records, create_evidence_in, create_person_macros_in, ids_of_person
from orchestration.maintenance.person_rows import (
    EVIDENCE,
    IDENTIFIERS,
    ROWS_OF_PERSON,
    TEXTS,
    connected_identifiers,
    create_known_hashes,
    identifiers_in,
)
from orchestration.settings import Settings
from orchestration.transactions import transaction
from orchestration.transform.builds import invalidate_builds


def erase_late_rows(connection: duckdb.DuckDBPyConnection, settings: Settings) -> int:
    """Delete the raw rows of new identifiers of erased people, so that everything is rebuilt; return the number of rows.

    DuckDB keeps deleted rows in its file until the space is reused; the command `erase` rewrites the file. The caller holds the
    writer's lock. After a crash, the next run repeats the deletion.
    """
    erased = ErasedPeople.load(settings.data)
    if not erased.has_new_identifiers:
        return 0
    create_identifier_macros(connection)
    # The raw tables are read once, not once per person: there may be thousands of people.
    known = create_known_hashes(connection, erased, erased.people)
    named = " union ".join(identifiers_in(table, f"raw.{table}") for table in IDENTIFIERS)
    identifiers = [name for (name,) in connection.execute(f"from ({named}) where {known} order by all").fetchall()]
    rows = 0
    for person, found in erased.by_person(identifiers):
        of_person = erased.extend_by_identifiers(person, connected_identifiers(found, partial(_identifiers_in_evidence, connection)))
        create_person_macros_in(connection, "raw", of_person)
        erased.add_messages(person, *ids_of_person(connection))
        rows += _delete_rows(connection)
    if rows:
        # It is not known which people an export contains.
        remove_all_on_demand(settings)
    erased.has_new_identifiers = False
    erased.save()
    return rows


def _identifiers_in_evidence(connection: duckdb.DuckDBPyConnection, identifiers: list[str]) -> set[str]:
    """Return the identifiers in the raw rows that are evidence for the person of some identifiers."""
    create_evidence_in(connection, "raw", identifiers)
    beside = " union ".join(identifiers_in(table, f"(from raw.{table} where {condition})") for table, condition in EVIDENCE.items())
    return {identifier for (identifier,) in connection.execute(beside).fetchall()}


def _delete_rows(connection: duckdb.DuckDBPyConnection) -> int:
    count_erased_records(connection, "raw")
    rows = 0
    with transaction(connection):
        for table, condition in ROWS_OF_PERSON.items():
            row = connection.execute(f"delete from raw.{table} where {condition}").fetchone()
            rows += int(row[0]) if row is not None else 0
        for table, texts in TEXTS.items():
            for text in texts:
                connection.execute(f"update raw.{table} set {text} = '{ERASED_TEXT}' where holds_person({text})")
        connection.execute(
            "update raw.landed_files as f set landed = f.landed - e.records, erased = f.erased + e.records "
            "from erased_counts as e where e.file_name = f.file_name and e.load_id = f.load_id"
        )
        invalidate_builds(connection, after_erasure=True)
    return rows

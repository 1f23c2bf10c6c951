"""Erase a contact from everything below the data folder (GDPR article 17, LGPD article 18).

DuckDB leaves deleted rows in its file until the space is used again, so the warehouse is not cleaned
but written anew from the raw rows of everybody else, and everything after raw is built from those.
"""

import base64
import re
from dataclasses import dataclass
from pathlib import Path

import duckdb

from orchestration.errors import StartsError
from orchestration.files import put_in_place, quoted
from orchestration.landing.feeds import RAW_SCHEMA_SQL
from orchestration.settings import Settings
from orchestration.transform.builds import invalidate_builds

_PHONE = re.compile(r"[+0-9 ().-]*[0-9][+0-9 ().-]*")

# Which rows of a raw table are the contact's. `is_contact` compares as the contract does (section 2); the
# ids of its messages and sessions are collected first, because statuses and events carry nothing else.
_ROWS_OF_CONTACT = {
    "sends": "is_contact(contact_id)",
    "webhook_messages": "is_contact(sender_id)",
    "webhook_statuses": "is_contact(recipient_id) or message_id in (select id from ids_of_contact) or holds_contact(message_id)",
    "botmaker_sessions": "is_contact(contact_id)",
    "botmaker_session_events": "comparable_session_id(session_id) in (select id from ids_of_contact)",
    "botmaker_session_messages": "comparable_session_id(session_id) in (select id from ids_of_contact)",
    "botmaker_sent_results": "comparable_session_id(session_id) in (select id from ids_of_contact)",
}

_ERASED = "(erased)"

_DIGITS_WITH_COUNTRY = 10

# Of a number with three characters between any two of its digits, or of a user id.
_LONGEST_SPELLING = 1024

# Less is a slip of the hand, and stands within ids and texts that are somebody else's.
_SHORTEST_CONTACT = 5


@dataclass(frozen=True)
class Erasure:
    """Raw rows that are gone by table, and the files of the landing zone from which they came."""

    rows: dict[str, int]
    landing_files: list[str]


def erase_contact(settings: Settings, contact: str) -> Erasure:
    """Write the warehouse anew without a contact; the job has to run afterwards, and makes everything else anew.

    The caller holds the writer's lock of a warehouse in which something has landed. Until the new file takes the
    old one's place only exports on demand that name the contact are gone; a crash after it is mended by the next run.
    """
    draft = settings.warehouse_path.with_name(".warehouse.duckdb.draft")
    draft.unlink(missing_ok=True)
    with duckdb.connect() as connection:
        connection.execute(f"attach {quoted(settings.warehouse_path)} as old (read_only)")
        connection.execute(f"attach {quoted(draft)} as new")
        _prepare(connection, comparable(contact))
        rows, files = _count(connection), _landing_files(connection)
        _copy_others(connection)
        connection.execute("use new")
        invalidate_builds(connection)
        connection.execute("use memory")
        connection.execute("detach new")
        connection.execute("detach old")
    _remove_exports(settings, comparable(contact))
    put_in_place(draft, settings.warehouse_path)
    return Erasure(rows, files)


def check_contact(contact: str) -> None:
    """Raise `StartsError` for what cannot be a contact's whole number or user id."""
    if len(comparable(contact).strip()) < _SHORTEST_CONTACT:
        raise StartsError(f"{contact!r} is too short for a contact: write the whole number or user id, such as 5511987654321.")


def comparable(contact: str) -> str:
    """Return an identifier as it is compared: a phone's digits, anything else as given."""
    return re.sub(r"\D", "", contact) if _PHONE.fullmatch(contact) else contact


def files_that_hold(folder: Path, contact: str) -> list[Path]:
    """Return the files below a folder in which the contact still stands, readable or in a wamid.

    What a file holds compressed is not found: those of the marts are made anew from the rows of everybody else.
    """
    # base64 has three spellings of a text, by where it begins.
    spellings = [spelling_of(contact), *(re.escape(spelling.decode()) for spelling in _base64_spellings(contact.encode()))]
    pattern = re.compile("|".join(spellings).encode())
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and _holds(path, pattern)]


def spelling_of(contact: str) -> str:
    """Return a regular expression, for Python and for DuckDB, of a contact as people write it: a whole number also in groups."""
    # A short one in groups would be found in every other time of day.
    is_whole_number = contact.isdecimal() and len(contact) >= _DIGITS_WITH_COUNTRY
    return "[^0-9]{0,3}".join(contact) if is_whole_number else re.escape(contact)


def _prepare(connection: duckdb.DuckDBPyConnection, contact: str) -> None:
    # Variables, because a lambda may not look into a table.
    connection.execute("set variable erased_contact = $contact", {"contact": contact})
    connection.execute("set variable erased_spelling = $spelling", {"spelling": spelling_of(contact)})
    connection.execute(
        r"""
        create temp macro is_contact(given) as case
            when regexp_full_match(given, '[+0-9 ().-]*[0-9][+0-9 ().-]*') then regexp_replace(given, '[^0-9]', '', 'g')
            else given
        end = getvariable('erased_contact');
        create temp macro holds_contact(text) as
            regexp_matches(text, getvariable('erased_spelling'))
            or list_bool_or(list_transform(
                regexp_extract_all(text, 'wamid\.([A-Za-z0-9+/=]+)', 1),
                lambda id: coalesce(contains(cast(try(from_base64(id)) as varchar), getvariable('erased_contact')), false)
            ));
        -- The same session, whatever the time's precision (contract, section 4.6), as the models compare it.
        create temp macro comparable_session_id(id) as coalesce(
            regexp_extract(id, '^(.+)_([^_]+)$', 1) || '|'
            || date_trunc('second', try_cast(regexp_extract(id, '^(.+)_([^_]+)$', 2) as timestamptz))::varchar,
            id
        );
        create temp table ids_of_contact as
        select message_id as id from old.raw.sends where is_contact(contact_id)
        union
        select message_id from old.raw.webhook_messages where is_contact(sender_id)
        union
        select comparable_session_id(session_id) from old.raw.botmaker_sessions where is_contact(contact_id);
        """
    )


def _count(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    counts = {}
    for table, condition in _ROWS_OF_CONTACT.items():
        row = connection.execute(f"select count(*) from old.raw.{table} where {condition}").fetchone()
        assert row is not None
        counts[table] = int(row[0])
    return counts


def _landing_files(connection: duckdb.DuckDBPyConnection) -> list[str]:
    names = " union ".join(f"select _file_name from old.raw.{table} where {condition}" for table, condition in _ROWS_OF_CONTACT.items())
    names += " union select file_name from old.raw.rejected_records where holds_contact(record)"
    return [name for (name,) in connection.execute(f"select * from ({names}) order by all").fetchall()]


def _copy_others(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("use new")
    connection.execute(RAW_SCHEMA_SQL)
    connection.execute("use memory")
    tables = connection.execute("select table_name from duckdb_tables() where database_name = 'old' and schema_name = 'raw'").fetchall()
    for (table,) in tables:
        condition = f"where not coalesce({_ROWS_OF_CONTACT[table]}, false)" if table in _ROWS_OF_CONTACT else ""
        # A rejected record stays counted, so that the ledger's sums hold; what it said goes.
        redacted = (
            f"* replace (case when coalesce(holds_contact(record), false) then {quoted(_ERASED)} else record end as record)"
            if table == "rejected_records"
            else "*"
        )
        connection.execute(f"insert into new.raw.{table} by name select {redacted} from old.raw.{table} {condition}")


def _remove_exports(settings: Settings, contact: str) -> None:
    """Remove the exports on demand that hold the contact; the daily ones are made anew by the job."""
    for path in files_that_hold(settings.exports_dir / "on_demand", contact):
        path.unlink()


def _base64_spellings(text: bytes) -> list[bytes]:
    spellings = []
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + text)
        # The first and last characters share bits with what stands before and after.
        spellings.append(encoded[(0, 2, 3)[offset] : len(encoded) - (0, 4, 4)[(offset + len(text)) % 3]])
    return spellings


def _holds(path: Path, pattern: re.Pattern[bytes]) -> bool:
    with path.open("rb") as file:
        tail = b""
        while piece := file.read(1 << 24):
            window = tail + piece
            if pattern.search(window):
                return True
            tail = window[-_LONGEST_SPELLING:]
    return False

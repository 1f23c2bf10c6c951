"""Erase a contact from everything below the data folder (GDPR article 17, LGPD article 18).

DuckDB leaves deleted rows in its file until the space is used again, so the warehouse is not cleaned
but written anew from the raw rows of everybody else, and everything after raw is built from those.
"""

import base64
import re
from dataclasses import dataclass
from pathlib import Path

import duckdb

from orchestration.delivery.builds import disown_builds
from orchestration.errors import StartsError
from orchestration.files import put_in_place, quoted
from orchestration.landing.feeds import RAW_SCHEMA_SQL
from orchestration.settings import Settings

_PHONE = re.compile(r"[+0-9 ().-]*[0-9][+0-9 ().-]*")

# Which rows of a raw table are the contact's. `is_contact` compares as the contract does (section 2); the
# ids of its messages and sessions are collected first, because statuses and events carry nothing else.
_ROWS_OF_CONTACT = {
    "sends": "is_contact(contact_id)",
    "webhook_messages": "is_contact(sender_id)",
    "webhook_statuses": "is_contact(recipient_id) or message_id in (select id from ids_of_contact) or holds_contact(message_id)",
    "botmaker_sessions": "is_contact(contact_id)",
    "botmaker_session_events": "session_id in (select id from ids_of_contact)",
    "botmaker_session_messages": "session_id in (select id from ids_of_contact)",
    "botmaker_sent_results": "session_id in (select id from ids_of_contact)",
}

_ERASED = "(erased)"

# Less is a slip of the hand, and stands within ids and texts that are somebody else's.
_SHORTEST_CONTACT = 5


@dataclass(frozen=True)
class Erasure:
    """Raw rows that are gone by table, and the files of the landing zone from which they came."""

    rows: dict[str, int]
    landing_files: list[str]
    exports_removed: list[Path]


def erase_contact(settings: Settings, contact: str) -> Erasure:
    """Write the warehouse anew without a contact; the job has to run afterwards, and makes everything else anew.

    The caller holds the writer's lock of a warehouse in which something has landed. Until the new file takes the
    old one's place nothing has changed; a crash after it is mended by the next run.
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
        disown_builds(connection)
        connection.execute("use memory")
        connection.execute("detach new")
        connection.execute("detach old")
    put_in_place(draft, settings.warehouse_path)
    return Erasure(rows, files, _remove_exports(settings, comparable(contact)))


def check_contact(contact: str) -> None:
    """Raise `StartsError` for what cannot be a contact's whole number or user id."""
    if len(comparable(contact).strip()) < _SHORTEST_CONTACT:
        raise StartsError(f"{contact!r} is too short for a contact: write the whole number or user id, such as 5511987654321.")


def comparable(contact: str) -> str:
    """Return an identifier as it is compared: a phone's digits, anything else as given."""
    return re.sub(r"\D", "", contact) if _PHONE.fullmatch(contact) else contact


def files_that_hold(folder: Path, contact: str) -> list[Path]:
    """Return the files below a folder in which the contact still stands, readable or in a wamid."""
    # base64 has three spellings of a text, by where it begins.
    needles = [contact.encode(), *_base64_spellings(contact.encode())]
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and _holds_any(path, needles)]


def _prepare(connection: duckdb.DuckDBPyConnection, contact: str) -> None:
    # A variable, because a lambda may not look into a table.
    connection.execute("set variable erased_contact = $contact", {"contact": contact})
    connection.execute(
        r"""
        create temp macro is_contact(given) as case
            when regexp_full_match(given, '[+0-9 ().-]*[0-9][+0-9 ().-]*') then regexp_replace(given, '[^0-9]', '', 'g')
            else given
        end = getvariable('erased_contact');
        create temp macro holds_contact(text) as
            contains(text, getvariable('erased_contact'))
            or list_bool_or(list_transform(
                regexp_extract_all(text, 'wamid\.([A-Za-z0-9+/=]+)', 1),
                lambda id: coalesce(contains(cast(try(from_base64(id)) as varchar), getvariable('erased_contact')), false)
            ));
        create temp table ids_of_contact as
        select message_id as id from old.raw.sends where is_contact(contact_id)
        union
        select message_id from old.raw.webhook_messages where is_contact(sender_id)
        union
        select session_id from old.raw.botmaker_sessions where is_contact(contact_id);
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


def _remove_exports(settings: Settings, contact: str) -> list[Path]:
    """Remove the exports on demand that hold the contact; the daily ones are made anew by the job."""
    stale = files_that_hold(settings.exports_dir / "on_demand", contact)
    for path in stale:
        path.unlink()
    return stale


def _base64_spellings(text: bytes) -> list[bytes]:
    spellings = []
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + text)
        # The first and last characters share bits with what stands before and after.
        spellings.append(encoded[(0, 2, 3)[offset] : len(encoded) - (0, 4, 4)[(offset + len(text)) % 3]])
    return spellings


def _holds_any(path: Path, needles: list[bytes]) -> bool:
    longest = max(map(len, needles))
    with path.open("rb") as file:
        tail = b""
        while piece := file.read(1 << 24):
            window = tail + piece
            if any(needle in window for needle in needles):
                return True
            tail = window[-longest:]
    return False

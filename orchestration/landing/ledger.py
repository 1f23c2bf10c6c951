"""Read and write the ledger of contents, and the file names found by the last listing.

The ledger, `raw.landed_files`, has a row for each content, identified by its sha256. A file that cannot be read has no known
content. As long as that lasts, its row is identified by `unread:` and its name.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import duckdb
import pyarrow as pa

from orchestration.landing.feeds import Feed
from orchestration.landing.listing import LandingFile, SkippedEntry
from orchestration.landing.rejections import UNPUBLISHED_FILES_SQL
from orchestration.landing.zone import LandingZone
from orchestration.transactions import transaction

_UNREAD = "unread:"
# Suffix of the version of a file that had changed just before it was listed. The next run reads the file again.
_UNSETTLED = " unsettled"


@dataclass(frozen=True)
class Entry:
    """The ledger's entry for a content."""

    is_landed: bool
    reader_version: int


def next_load_id(connection: duckdb.DuckDBPyConnection) -> int:
    # Builds count as well: a load id that a build is complete through must never be given to rows that the build did not read.
    row = connection.execute(
        """
        select greatest(coalesce(max(load_id), 0), (select coalesce(max(through_load_id), 0) from state.builds)) + 1
        from raw.landed_files
        """
    ).fetchone()
    assert row is not None
    return int(row[0])


def entries_by_sha256(connection: duckdb.DuckDBPyConnection, feed: Feed, hashes: Iterable[str]) -> dict[str, Entry]:
    """Return the ledger's entries by sha256, for those of these contents that it has."""
    rows = connection.execute(
        "select content_sha256, status = 'landed', reader_version from raw.landed_files "
        "where feed = $feed and content_sha256 in (select unnest($hashes))",
        {"feed": feed.name, "hashes": list(hashes)},
    ).fetchall()
    return {sha256: Entry(is_landed, reader_version) for sha256, is_landed, reader_version in rows}


def sizes_in_ledger(connection: duckdb.DuckDBPyConnection, feed: Feed, sizes: Iterable[int]) -> set[int]:
    """Return those of these sizes, in bytes, that any content in the ledger has."""
    rows = connection.execute(
        "select distinct bytes from raw.landed_files where feed = $feed and bytes in (select unnest($sizes))",
        {"feed": feed.name, "sizes": list(sizes)},
    ).fetchall()
    return {size for (size,) in rows}


def prune_listing(connection: duckdb.DuckDBPyConnection, zone: LandingZone, feed: Feed, files: list[LandingFile]) -> set[str]:
    """Delete the names that are gone from a feed's listing or changed; return those that are unchanged since the last listing.

    A name whose content blocks publication is kept until its file is changed or removed. A folder that is missing for a run counts
    as neither.
    """
    listing = pa.table(
        {"file_name": [file.name for file in files], "version": [file.version for file in files]},
        schema=pa.schema([("file_name", pa.string()), ("version", pa.string())]),
    )
    connection.register("listing", listing)
    missing = connection.execute(
        f"""
        select known.file_name, known.version
        from raw.landing_listing as known
        semi join ({UNPUBLISHED_FILES_SQL}) as f on known.feed = f.feed and known.content_sha256 = f.content_sha256 and f.rejected > 0
        anti join listing on known.file_name = listing.file_name
        where known.feed = $feed
        """,
        {"feed": feed.name},
    ).fetchall()
    names_in_missing_folders = [name for name, version in missing if not zone.was_removed(name, version.removesuffix(_UNSETTLED))]
    connection.execute(
        """
        delete from raw.landing_listing as known
        where feed = $feed and file_name not in (select unnest($names_in_missing_folders)) and not exists (
            select 1 from listing as l where l.file_name = known.file_name and known.version in (l.version, l.version || $unsettled)
        )
        """,
        {"feed": feed.name, "names_in_missing_folders": names_in_missing_folders, "unsettled": _UNSETTLED},
    )
    connection.unregister("listing")
    known = connection.execute("select file_name from raw.landing_listing where feed = $feed", {"feed": feed.name}).fetchall()
    return {name for (name,) in known} - set(names_in_missing_folders)


def listed_contents(connection: duckdb.DuckDBPyConnection, feed: Feed, files: Iterable[LandingFile]) -> dict[str, str]:
    """Return the sha256 of those of these files, by name, that are certain to be unchanged since the last listing."""
    rows = connection.execute(
        "select file_name, version, content_sha256 from raw.landing_listing where feed = $feed", {"feed": feed.name}
    ).fetchall()
    listed = {(name, version): sha256 for name, version, sha256 in rows}
    return {file.name: listed[file.name, file.version] for file in files if (file.name, file.version) in listed}


def names_to_reread(connection: duckdb.DuckDBPyConnection, feed: Feed, reader_version: int) -> set[str]:
    """Return the known names to read again: those that had just changed, and those that an older reader read."""
    rows = connection.execute(
        """
        select l.file_name
        from raw.landing_listing as l
        inner join raw.landed_files as f on l.feed = f.feed and l.content_sha256 = f.content_sha256
        where l.feed = $feed and (f.reader_version < $reader_version or ends_with(l.version, $unsettled))
        """,
        {"feed": feed.name, "reader_version": reader_version, "unsettled": _UNSETTLED},
    ).fetchall()
    return {name for (name,) in rows}


def has_listed_files(connection: duckdb.DuckDBPyConnection, feed: Feed) -> bool:
    row = connection.execute("select count(*) > 0 from raw.landing_listing where feed = $feed", {"feed": feed.name}).fetchone()
    return row == (True,)


def has_files(connection: duckdb.DuckDBPyConnection) -> bool:
    """Return whether any file was ever read or set aside."""
    return connection.execute("select count(*) > 0 from raw.landed_files").fetchone() == (True,)


def count_files_of_older_readers(connection: duckdb.DuckDBPyConnection, reader_version: int) -> int:
    """Count the contents with rows of an older reader that cannot be read again, because they are not in the landing zone.

    Contents that an operator marked for a replay (version 0) do not count as read by an older reader.
    """
    row = connection.execute(
        """
        select count(*)
        from raw.landed_files as f
        anti join raw.landing_listing as l on f.feed = l.feed and f.content_sha256 = l.content_sha256
        where f.status = 'landed' and f.reader_version > 0 and f.reader_version < $reader_version
        """,
        {"reader_version": reader_version},
    ).fetchone()
    assert row is not None
    return int(row[0])


def write_skipped_entries(connection: duckdb.DuckDBPyConnection, feed: str, skipped_entries: Iterable[SkippedEntry]) -> None:
    """Store the entries that a listing of a feed's folder skipped; `feed` is empty for anything outside all feeds' folders."""
    rows = [{"feed": feed, "name": entry.name, "reason": entry.reason} for entry in skipped_entries]
    schema = pa.schema([(name, pa.string()) for name in ("feed", "name", "reason")])
    connection.register("skipped_entries", pa.Table.from_pylist(rows, schema=schema))
    with transaction(connection):
        connection.execute("delete from state.files_passed_over where feed = $feed", {"feed": feed})
        connection.execute("insert into state.files_passed_over by name from skipped_entries")
    connection.unregister("skipped_entries")


def read_skipped_entries(connection: duckdb.DuckDBPyConnection) -> list[SkippedEntry]:
    """Return the entries that the last listing of the landing zone skipped, by name."""
    rows = connection.execute("select name, reason from state.files_passed_over order by name").fetchall()
    return [SkippedEntry(*row) for row in rows]


def write_listing(connection: duckdb.DuckDBPyConnection, feed: Feed, files: Iterable[tuple[LandingFile, str]]) -> None:
    """Store the content, by sha256, of each of these files."""
    rows = [
        {
            "feed": feed.name,
            "file_name": file.name,
            "version": file.version if file.is_settled else file.version + _UNSETTLED,
            "content_sha256": sha256,
        }
        for file, sha256 in files
    ]
    schema = pa.schema([(name, pa.string()) for name in ("feed", "file_name", "version", "content_sha256")])
    if not rows:
        return
    connection.register("listed", pa.Table.from_pylist(rows, schema=schema))
    connection.execute("delete from raw.landing_listing where (feed, file_name) in (select (feed, file_name) from listed)")
    connection.execute("insert into raw.landing_listing by name from listed")
    connection.unregister("listed")


def delete_contents(connection: duckdb.DuckDBPyConnection, feed: Feed, hashes: Iterable[str]) -> int:
    """Delete all rows of these contents from the raw tables and the ledger; return how many contents had landed."""
    hashes = list(hashes)
    if not hashes:
        return 0
    connection.execute(
        "create or replace temp table contents_to_delete as select file_name, content_sha256, load_id, status from raw.landed_files "
        "where feed = $feed and content_sha256 in (select unnest($hashes))",
        {"feed": feed.name, "hashes": hashes},
    )
    for table in feed.tables:
        connection.execute(f"delete from raw.{table} where (_file_name, _load_id) in (select (file_name, load_id) from contents_to_delete)")
    for table in ("rejected_records", "landed_files"):
        connection.execute(
            f"delete from raw.{table} where feed = $feed and content_sha256 in (select content_sha256 from contents_to_delete)",
            {"feed": feed.name},
        )
    row = connection.execute("select count(*) filter (status = 'landed') from contents_to_delete").fetchone()
    assert row is not None
    return int(row[0])


def write_unread(connection: duckdb.DuckDBPyConnection, feed: Feed, reasons: Mapping[str, str], reader_version: int) -> None:
    """Set aside exactly those files of a feed, by name, that cannot be read now; drop the rows of earlier ones."""
    unread = {_UNREAD + name: (name, reason) for name, reason in reasons.items()}
    rows = connection.execute(
        "select content_sha256, file_name, reason from raw.landed_files where feed = $feed and starts_with(content_sha256, $unread)",
        {"feed": feed.name, "unread": _UNREAD},
    ).fetchall()
    known = {key: (name, reason) for key, name, reason in rows}
    if known == unread:
        return
    outdated = [key for key, value in known.items() if unread.get(key) != value]
    new = [key for key, value in unread.items() if known.get(key) != value]
    with transaction(connection):
        connection.execute(
            "delete from raw.landed_files where feed = $feed and content_sha256 in (select unnest($outdated))",
            {"feed": feed.name, "outdated": outdated},
        )
        # No rows landed with these files. A load id of their own would make the next run start a build.
        connection.execute(
            """
            insert into raw.landed_files by name
            select
                $feed as feed, unnest($names) as file_name, unnest($keys) as content_sha256, 0 as bytes, 0 as records, 0 as landed,
                0 as rejected, 0 as erased, 'set_aside' as status, unnest($reasons) as reason, $now as landed_at,
                (select coalesce(max(load_id), 0) from raw.landed_files) as load_id, $reader_version as reader_version
            """,
            {
                "feed": feed.name,
                "names": [unread[key][0] for key in new],
                "keys": new,
                "reasons": [unread[key][1] for key in new],
                "now": datetime.now(UTC).replace(tzinfo=None),
                "reader_version": reader_version,
            },
        )

"""Land a feed: every new content of the landing zone, once, into the raw tables.

A batch of files is one transaction: its rows, its rejected records and its lines in the ledger come
together or not at all, so a kill at any moment costs at most the batch that was under way.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow as pa

from orchestration.files import sha256_of
from orchestration.landing.feeds import MACROS_SQL, RAW_SCHEMA_SQL, READER_VERSION, Feed
from orchestration.landing.lines import LINES_SCHEMA, DamagedFileError, read_lines
from orchestration.landing.zone import LandingFile, LandingZone

# Files of a batch share one pass of DuckDB: large enough that a thousand small files cost little,
# small enough that a batch's parsed rows stay well under 1 GB (64 MiB of zstd were 0.5 GB parsed).
BATCH_BYTES = 64 << 20
BATCH_FILES = 1000


@dataclass
class LandingReport:
    """What one look at a feed found. Counts of files, and of records in the files that are new."""

    feed: str
    files_known: int = 0
    files_landed: int = 0
    files_set_aside: list[str] = field(default_factory=list)
    records: int = 0
    landed: int = 0
    rejected: int = 0


@dataclass(frozen=True)
class _NewFile:
    file: LandingFile
    path: Path
    sha256: str


class _DamagedNewFileError(Exception):
    def __init__(self, new_file: _NewFile, reason: str) -> None:
        super().__init__(reason)
        self.new_file = new_file
        self.reason = reason


def land_feed(connection: duckdb.DuckDBPyConnection, zone: LandingZone, feed: Feed) -> LandingReport:
    """Land what is new in a feed of the zone; the same content, under any name, lands once."""
    connection.execute(RAW_SCHEMA_SQL)
    connection.execute(MACROS_SQL)
    report = LandingReport(feed.name)
    load_id = _next_load_id(connection)
    files = zone.files(feed.name)
    known = still_known(connection, feed, files)
    unread = [file for file in files if file.name not in known]
    report.files_known = len(files) - len(unread)
    # Rows keep the order of arrival by load and file, which is all that zone maps need.
    connection.execute("set preserve_insertion_order = false")
    for batch in _batches(unread):
        with zone.local_copies(batch) as paths:
            _land_files(connection, feed, list(zip(batch, paths, strict=True)), load_id, report)
    connection.execute("reset preserve_insertion_order")
    return report


def _next_load_id(connection: duckdb.DuckDBPyConnection) -> int:
    row = connection.execute("select coalesce(max(load_id), 0) + 1 from raw.landed_files").fetchone()
    assert row is not None
    return int(row[0])


def still_known(connection: duckdb.DuckDBPyConnection, feed: Feed, files: list[LandingFile]) -> set[str]:
    """Forget the names that are gone from a feed's listing, and return those that are as they were at the last look."""
    listing = pa.table(
        {"file_name": [file.name for file in files], "version": [file.version for file in files]},
        schema=pa.schema([("file_name", pa.string()), ("version", pa.string())]),
    )
    connection.register("listing", listing)
    connection.execute(
        "delete from raw.landing_listing as known where feed = $feed and not exists "
        "(select 1 from listing as l where l.file_name = known.file_name and l.version = known.version)",
        {"feed": feed.name},
    )
    known = connection.execute("select file_name from raw.landing_listing where feed = $feed", {"feed": feed.name}).fetchall()
    connection.unregister("listing")
    return {name for (name,) in known}


def _batches(files: list[LandingFile]) -> Iterator[list[LandingFile]]:
    batch: list[LandingFile] = []
    size = 0
    for file in files:
        if batch and (size + file.bytes > BATCH_BYTES or len(batch) == BATCH_FILES):
            yield batch
            batch, size = [], 0
        batch.append(file)
        size += file.bytes
    if batch:
        yield batch


def _land_files(
    connection: duckdb.DuckDBPyConnection, feed: Feed, files: list[tuple[LandingFile, Path]], load_id: int, report: LandingReport
) -> None:
    hashed = [_NewFile(file, path, sha256_of(path)) for file, path in files]
    in_ledger = _statuses_in_ledger(connection, feed, hashed)
    # What was set aside gets another chance under another name: its ending says how a file is packed.
    names_by_content: dict[str, list[_NewFile]] = {}
    for new in sorted(hashed, key=lambda new: new.file.name):
        if in_ledger.get(new.sha256) != "landed":
            names_by_content.setdefault(new.sha256, []).append(new)
    whole, damaged = _parse_what_is_whole(connection, feed, names_by_content)
    new_to_ledger = [error for error in damaged if error.new_file.sha256 not in in_ledger]
    records, rejected = _commit_batch(connection, feed, whole, new_to_ledger, hashed, load_id)
    for table in feed.parsed:
        connection.execute(f"drop table if exists {table}")
    report.files_known += len(hashed) - len(names_by_content)
    report.files_landed += len(whole)
    report.files_set_aside += [f"{error.new_file.file.name}: {error.reason}" for error in damaged]
    report.records += records
    report.landed += records - rejected
    report.rejected += rejected


def _statuses_in_ledger(connection: duckdb.DuckDBPyConnection, feed: Feed, files: list[_NewFile]) -> dict[str, str]:
    """Return the status, by sha256, of those contents that the ledger knows."""
    return dict(
        connection.execute(
            "select content_sha256, status from raw.landed_files where feed = $feed and content_sha256 in (select unnest($hashes))",
            {"feed": feed.name, "hashes": [new.sha256 for new in files]},
        ).fetchall()
    )


def _parse_what_is_whole(
    connection: duckdb.DuckDBPyConnection, feed: Feed, names_by_content: dict[str, list[_NewFile]]
) -> tuple[list[_NewFile], list[_DamagedNewFileError]]:
    """Parse each content under the first of its names that fits; return the files parsed, and those damaged under all their names."""
    names_left = {sha256: names[1:] for sha256, names in names_by_content.items()}
    to_parse = {sha256: names[0] for sha256, names in names_by_content.items()}
    damaged: dict[str, _DamagedNewFileError] = {}
    while True:
        try:
            _parse_batch(connection, feed, list(to_parse.values()))
            break
        except _DamagedNewFileError as error:
            sha256 = error.new_file.sha256
            damaged.setdefault(sha256, error)
            del to_parse[sha256]
            if names_left[sha256]:
                to_parse[sha256] = names_left[sha256].pop(0)
    return list(to_parse.values()), [error for sha256, error in damaged.items() if sha256 not in to_parse]


def _commit_batch(
    connection: duckdb.DuckDBPyConnection,
    feed: Feed,
    whole: list[_NewFile],
    damaged: list[_DamagedNewFileError],
    listed: list[_NewFile],
    load_id: int,
) -> tuple[int, int]:
    """Write what was parsed, the ledger and the listing in one transaction; return (records, rejected).

    What was parsed lies in a table of its own by now: DuckDB scans committed rows with every thread, its own
    uncommitted ones with one.
    """
    connection.execute("begin")
    try:
        records, rejected = _write_batch(connection, feed, whole, load_id)
        for error in damaged:
            _register_files(connection, [error.new_file])
            connection.execute("delete from file_counts")
            _write_ledger(connection, feed, load_id, "set_aside", error.reason)
        _write_listing(connection, feed, listed)
        connection.execute("commit")
    except BaseException:
        connection.execute("rollback")
        raise
    return records, rejected


def _parse_batch(connection: duckdb.DuckDBPyConnection, feed: Feed, files: list[_NewFile]) -> None:
    """Parse the files into the feed's temporary table. Raises `_DamagedNewFileError` for one that is damaged."""
    damaged: list[_DamagedNewFileError] = []
    connection.register("lines", pa.RecordBatchReader.from_batches(LINES_SCHEMA, _lines_of(files, damaged)))
    try:
        connection.execute(feed.parse_sql)
    finally:
        connection.unregister("lines")
    if damaged:
        raise damaged[0]


def _write_batch(connection: duckdb.DuckDBPyConnection, feed: Feed, files: list[_NewFile], load_id: int) -> tuple[int, int]:
    """Write the parsed rows, the rejected records and the ledger; return (records, rejected)."""
    _register_files(connection, files)
    connection.execute(
        "delete from raw.landed_files where feed = $feed and content_sha256 in (select content_sha256 from batch_files)",
        {"feed": feed.name},
    )
    landed_at = datetime.now(UTC).replace(tzinfo=None)
    for statement in connection.extract_statements(feed.land_sql):
        connection.execute(statement, {"landed_at": landed_at, "load_id": load_id})
    _write_rejected_records(connection, feed, landed_at)
    connection.execute(
        """
        create or replace temp table file_counts as
        select
            file_index,
            count(distinct record_number) as records,
            count(distinct record_number) filter (problem is not null) as rejected
        from parsed_records
        group by file_index
        """
    )
    _write_ledger(connection, feed, load_id, "landed", None)
    counts = connection.execute("select coalesce(sum(records), 0), coalesce(sum(rejected), 0) from file_counts").fetchone()
    assert counts is not None
    return int(counts[0]), int(counts[1])


def _lines_of(files: list[_NewFile], damaged: list[_DamagedNewFileError]) -> Iterator[pa.RecordBatch]:
    """Yield every file's lines; remember the file that stopped it, which DuckDB's error would hide."""
    for index, new_file in enumerate(files):
        try:
            yield from read_lines(new_file.path, new_file.file.name, index)
        except DamagedFileError as error:
            damaged.append(_DamagedNewFileError(new_file, str(error)))
            return


def _register_files(connection: duckdb.DuckDBPyConnection, files: Iterable[_NewFile]) -> None:
    rows = [
        {"file_index": index, "file_name": new.file.name, "content_sha256": new.sha256, "bytes": new.file.bytes}
        for index, new in enumerate(files)
    ]
    schema = pa.schema([("file_index", pa.int32()), ("file_name", pa.string()), ("content_sha256", pa.string()), ("bytes", pa.int64())])
    connection.register("files_to_land", pa.Table.from_pylist(rows, schema=schema))
    # A table, because DuckDB knows its size; over the Arrow table it built the join the wrong way round.
    connection.execute("create or replace temp table batch_files as from files_to_land")
    connection.unregister("files_to_land")


def _write_rejected_records(connection: duckdb.DuckDBPyConnection, feed: Feed, landed_at: datetime) -> None:
    connection.execute(
        """
        insert into raw.rejected_records by name
        select
            $feed as feed,
            any_value(f.file_name) as file_name,
            p.line_number,
            array_to_string(list_sort(list_distinct(list(p.problem))), '; ') as reason,
            any_value(p.record) as record,
            any_value(f.content_sha256) as content_sha256,
            $landed_at as landed_at
        from parsed_records as p
        inner join batch_files as f using (file_index)
        where p.problem is not null
        group by p.file_index, p.record_number, p.line_number
        """,
        {"feed": feed.name, "landed_at": landed_at},
    )


def _write_ledger(connection: duckdb.DuckDBPyConnection, feed: Feed, load_id: int, status: str, reason: str | None) -> None:
    """Write a line of the ledger for each of `batch_files`, with its `file_counts`, or zeros where it has none."""
    connection.execute(
        """
        insert into raw.landed_files by name
        select
            $feed as feed, f.file_name, f.content_sha256, f.bytes,
            coalesce(c.records, 0) as records,
            coalesce(c.records - c.rejected, 0) as landed,
            coalesce(c.rejected, 0) as rejected,
            0 as erased,
            $status as status, $reason as reason, $landed_at as landed_at, $load_id as load_id, $reader_version as reader_version
        from batch_files as f
        left join file_counts as c using (file_index)
        """,
        {
            "feed": feed.name,
            "status": status,
            "reason": reason,
            "landed_at": datetime.now(UTC).replace(tzinfo=None),
            "load_id": load_id,
            "reader_version": READER_VERSION,
        },
    )


def _write_listing(connection: duckdb.DuckDBPyConnection, feed: Feed, files: list[_NewFile]) -> None:
    rows = [{"file_name": new.file.name, "version": new.file.version, "content_sha256": new.sha256} for new in files]
    schema = pa.schema([("file_name", pa.string()), ("version", pa.string()), ("content_sha256", pa.string())])
    connection.register("listed", pa.Table.from_pylist(rows, schema=schema))
    connection.execute(
        "insert into raw.landing_listing by name select $feed as feed, file_name, version, content_sha256 from listed", {"feed": feed.name}
    )
    connection.unregister("listed")

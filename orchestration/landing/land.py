"""Land a feed: load each new content in the landing zone into the raw tables exactly once.

Each batch of files is one transaction. Its rows, its rejected records and its ledger rows are committed together, so a kill at any
moment loses at most the current batch.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import duckdb
import pyarrow as pa

from orchestration.landing import ledger
from orchestration.landing.erased import ErasedPeople, withhold_erased_people
from orchestration.landing.feeds import MACROS_SQL, READER_VERSION, Feed
from orchestration.landing.listing import LandingFile, SkippedEntry, printable_name
from orchestration.landing.migrations import prepare_raw_schema
from orchestration.landing.reading.lines import LINES_SCHEMA, MAX_RECORD_BYTES, Reading
from orchestration.landing.reading.streams import ChangedFileError, DamagedFileError, HashedFile, UnreadableFileError
from orchestration.landing.zone import LandingZone, LocalCopy
from orchestration.progress import report_progress
from orchestration.transactions import transaction
from orchestration.transform.builds import invalidate_builds

# The files of a batch share one pass of DuckDB. A batch is large enough that a thousand small files cost little, and small enough that
# its parsed rows stay well under 1 GB (64 MiB of zstd were 0.5 GB parsed).
BATCH_BYTES = 64 << 20
BATCH_FILES = 1000


@dataclass
class LandingReport:
    """The result of listing and landing a feed. Counts files, and records in the new files.

    `files_reread` counts the landed files that replaced the rows of an older reader. `files_set_aside` and `files_changed` (changed
    while they were read) list printable file names, each with the reason. `is_missing` is true if the feed's folder existed before
    but does not now.
    """

    feed: str
    files_known: int = 0
    files_landed: int = 0
    files_reread: int = 0
    files_set_aside: list[str] = field(default_factory=list)
    files_changed: list[str] = field(default_factory=list)
    skipped_entries: list[SkippedEntry] = field(default_factory=list)
    is_missing: bool = False
    records: int = 0
    landed: int = 0
    rejected: int = 0
    erased: int = 0


@dataclass
class _Attempt:
    """A content under one of its names, and the result of reading it.

    `sha256` is the hash of the file if it was hashed before reading. Under the names in `damaged_copies`, the content could not be
    decompressed; the extension of another name may be the right one.
    """

    copy: LocalCopy
    sha256: str | None
    other_copies: list[LocalCopy]
    damaged_copies: list[LocalCopy] = field(default_factory=list)
    reading: Reading = field(default_factory=Reading)
    error: DamagedFileError | ChangedFileError | UnreadableFileError | None = None

    def next_attempt(self) -> "_Attempt":
        copy, *others = self.other_copies
        damaged_copies = [self.copy] if isinstance(self.error, DamagedFileError) else []
        return _Attempt(copy, self.sha256, others, [*self.damaged_copies, *damaged_copies])

    def hashed_files(self) -> list[tuple[LandingFile, str]]:
        """Return the files that hold this content, each with its hash."""
        return [(copy.file, self.reading.sha256) for copy in (self.copy, *self.other_copies, *self.damaged_copies)]


@dataclass(frozen=True)
class _Counts:
    records: int
    rejected: int
    erased: int


def land_feed(
    connection: duckdb.DuckDBPyConnection,
    zone: LandingZone,
    feed: Feed,
    erased: ErasedPeople | None = None,
    *,
    reread: bool = False,
    max_record_bytes: int = MAX_RECORD_BYTES,
) -> LandingReport:
    """Land the new files of a feed; the same content, under any name, lands once (contract, section 3).

    With `reread`, every file is read, even if it seems unchanged. Records of `erased` people do not land. Files that an older
    version of the reader read are read again, and the new rows replace the old ones. Raises `StartsError` if a folder cannot be
    listed.
    """
    prepare_raw_schema(connection)
    connection.execute(MACROS_SQL)
    report, new, unread = plan_landing(connection, zone, feed, reread=reread)
    lander = Lander(connection, feed, erased, max_record_bytes, report, load_id=ledger.next_load_id(connection))
    lander.land_files(zone, new)
    ledger.write_unread(connection, feed, unread | lander.unread, READER_VERSION)
    return report


def plan_landing(
    connection: duckdb.DuckDBPyConnection, zone: LandingZone, feed: Feed, *, reread: bool
) -> tuple[LandingReport, list[LandingFile], dict[str, str]]:
    """List a feed's folder: return a report on the listing, the files to read, and why other files cannot be read, by name."""
    listing = zone.listing(feed.name)
    report = LandingReport(feed.name, skipped_entries=listing.skipped_entries)
    report.is_missing = not listing.folder_exists and ledger.has_listed_files(connection, feed)
    files = [file for file in listing.files if file.problem is None]
    known = ledger.prune_listing(connection, zone, feed, files)
    known = set() if reread else known - ledger.names_to_reread(connection, feed, READER_VERSION)
    report.files_known = len(known)
    unread = {file.name: file.problem for file in listing.files if file.problem is not None}
    report.files_set_aside = [f"{name}: {problem}" for name, problem in unread.items()]
    return report, [file for file in files if file.name not in known], unread


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


class Lander:
    """Lands files of a feed in batches, within one load. `unread` maps each file name that could not be read to the reason."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        feed: Feed,
        erased: ErasedPeople | None,
        max_record_bytes: int,
        report: LandingReport,
        *,
        load_id: int,
    ) -> None:
        self._connection = connection
        self._feed = feed
        self._erased = erased
        self._max_record_bytes = max_record_bytes
        self._report = report
        self._load_id = load_id
        self.unread: dict[str, str] = {}
        self._files_to_read = 0
        self._files_started: set[str] = set()

    def _set_aside(self, file: LandingFile, reason: str) -> None:
        self.unread[file.name] = reason
        self._report.files_set_aside.append(f"{printable_name(file.name)}: {reason}")

    def land_files(self, zone: LandingZone, files: list[LandingFile]) -> None:
        self._files_to_read = len(files)
        # Rows keep the order of arrival by load and file, which is enough for zone maps.
        self._connection.execute("set preserve_insertion_order = false")
        for batch in _batches(files):
            with zone.local_copies(batch) as copies:
                self._land(copies)
        self._connection.execute("reset preserve_insertion_order")

    def _land(self, copies: list[LocalCopy]) -> None:
        attempts = self._attempts(copies)
        while attempts:
            self._parse(attempts)
            attempts = self._write(attempts)

    def _attempts(self, copies: list[LocalCopy]) -> list[_Attempt]:
        """Return an attempt for each new content, under one of its names.

        Known content has a known size, so a file is hashed before it is read only if its size is known or another file of the batch
        has it, too.
        """
        sizes = Counter(copy.file.bytes for copy in copies)
        sizes_to_hash = ledger.sizes_in_ledger(self._connection, self._feed, sizes) | {size for size, files in sizes.items() if files > 1}
        attempts: list[_Attempt] = []
        by_hash: dict[str, list[LocalCopy]] = {}
        for copy in sorted(copies, key=lambda copy: copy.file.name):
            try:
                if copy.error is not None:
                    raise copy.error
                if copy.file.bytes in sizes_to_hash:
                    with HashedFile(copy.path) as file:
                        by_hash.setdefault(file.sha256(), []).append(copy)
                else:
                    attempts.append(_Attempt(copy, None, []))
            except (ChangedFileError, UnreadableFileError) as error:
                self._postpone(copy.file, error)
        known = {
            sha256
            for sha256, entry in ledger.entries_by_sha256(self._connection, self._feed, by_hash).items()
            if entry.is_landed and entry.reader_version == READER_VERSION
        }
        with transaction(self._connection):
            ledger.write_listing(self._connection, self._feed, [(copy.file, sha256) for sha256 in known for copy in by_hash[sha256]])
        self._report.files_known += sum(len(by_hash[sha256]) for sha256 in known)
        return attempts + [_Attempt(first, sha256, others) for sha256, (first, *others) in by_hash.items() if sha256 not in known]

    def _postpone(self, file: LandingFile, error: ChangedFileError | UnreadableFileError) -> None:
        """Report a file and leave it for a later run."""
        if isinstance(error, ChangedFileError):
            self._report.files_changed.append(f"{printable_name(file.name)}: {error}")
        else:
            self._set_aside(file, str(error))

    def _parse(self, attempts: list[_Attempt]) -> None:
        """Parse the files into the feed's temporary tables, and keep only the rows of files that were read completely."""
        batches = pa.RecordBatchReader.from_batches(LINES_SCHEMA, self._lines_of(attempts))
        self._connection.register("lines", batches)
        try:
            self._connection.execute(self._feed.parse_sql)
        finally:
            self._connection.unregister("lines")
        for attempt in attempts:
            is_read = attempt.error is None or isinstance(attempt.error, DamagedFileError)
            if is_read and attempt.sha256 not in (None, attempt.reading.sha256):
                attempt.error = ChangedFileError("it changed while it was being read")
        self._delete_parsed_rows([index for index, attempt in enumerate(attempts) if attempt.error is not None])

    def _lines_of(self, attempts: list[_Attempt]) -> Iterator[pa.RecordBatch]:
        """Yield the lines of every file, and keep the errors, because DuckDB would hide them."""
        for index, attempt in enumerate(attempts):
            self._files_started.add(attempt.copy.file.name)
            report_progress(len(self._files_started), self._files_to_read, "new files")
            try:
                yield from self._feed.read(attempt.copy.path, attempt.copy.file.name, index, attempt.reading, self._max_record_bytes)
            except (ChangedFileError, DamagedFileError, UnreadableFileError) as error:
                attempt.error = error

    def _write(self, attempts: list[_Attempt]) -> list[_Attempt]:
        """Commit what was read, and return the attempts to repeat under another name."""
        entries = ledger.entries_by_sha256(self._connection, self._feed, [attempt.reading.sha256 for attempt in attempts])
        known = {sha256 for sha256, entry in entries.items() if entry.is_landed and entry.reader_version == READER_VERSION}
        to_land: dict[int, _Attempt] = {}
        already_landed: list[int] = []
        damaged: list[_Attempt] = []
        for index, attempt in enumerate(attempts):
            if attempt.error is None and attempt.reading.sha256 not in known:
                to_land[index] = attempt
                known.add(attempt.reading.sha256)
            elif attempt.error is None:
                already_landed.append(index)
            elif isinstance(attempt.error, DamagedFileError):
                damaged += [] if attempt.other_copies else [attempt]
            else:
                self._postpone(attempt.copy.file, attempt.error)
        self._delete_parsed_rows(already_landed)
        self._add_long_records(to_land)
        withhold_erased_people(self._connection, self._feed, self._erased)
        # A damaged file that this reader version has already set aside keeps its ledger row.
        set_aside = ledger.Entry(is_landed=False, reader_version=READER_VERSION)
        new_damage = [attempt for attempt in damaged if entries.get(attempt.reading.sha256) != set_aside]
        # Parsed rows are in committed tables of their own, because DuckDB scans committed rows with all threads, but a transaction's
        # uncommitted rows with one.
        with transaction(self._connection):
            written = [attempt.reading.sha256 for attempt in (*to_land.values(), *new_damage)]
            replaced = ledger.delete_contents(self._connection, self._feed, [sha256 for sha256 in written if sha256 in entries])
            if replaced:
                # State models have counted the deleted rows.
                invalidate_builds(self._connection, after_reread=True)
            counts = self._write_rows(to_land)
            for attempt in new_damage:
                self._register_files({0: attempt})
                self._connection.execute("delete from file_counts")
                self._write_ledger("set_aside", str(attempt.error))
            settled = [*to_land.values(), *(attempts[index] for index in already_landed), *damaged]
            ledger.write_listing(self._connection, self._feed, [file for attempt in settled for file in attempt.hashed_files()])
        for table in self._feed.parsed_tables:
            self._connection.execute(f"drop table if exists {table}")
        self._report.files_known += sum(len(attempts[index].hashed_files()) for index in already_landed)
        self._report.files_landed += len(to_land)
        self._report.files_reread += replaced
        self._report.files_set_aside += [f"{printable_name(attempt.copy.file.name)}: {attempt.error}" for attempt in damaged]
        self._report.records += counts.records
        self._report.landed += counts.records - counts.rejected - counts.erased
        self._report.rejected += counts.rejected
        self._report.erased += counts.erased
        return [attempt.next_attempt() for attempt in attempts if attempt.error is not None and attempt.other_copies]

    def _delete_parsed_rows(self, indexes: list[int]) -> None:
        for table in self._feed.parsed_tables if indexes else ():
            self._connection.execute(f"delete from {table} where file_index in (select unnest($indexes))", {"indexes": indexes})

    def _add_long_records(self, attempts: dict[int, _Attempt]) -> None:
        """Add the records that are too long to parse to the rejected records."""
        rows = [
            {
                "file_index": index,
                "record_number": record.record_number,
                "line_number": record.line_number,
                "problem": f"longer than {self._max_record_bytes:,} bytes",
                "record": record.beginning,
            }
            for index, attempt in attempts.items()
            for record in attempt.reading.long_records
        ]
        if rows:
            self._connection.register("long_records", pa.Table.from_pylist(rows))
            self._connection.execute(f"insert into {self._feed.parsed_tables[0]} by name from long_records")
            self._connection.unregister("long_records")

    def _write_rows(self, attempts: dict[int, _Attempt]) -> _Counts:
        """Write the parsed rows, the rejected records and the ledger rows; return the counts."""
        self._register_files(attempts)
        landed_at = datetime.now(UTC).replace(tzinfo=None)
        for statement in self._connection.extract_statements(self._feed.land_sql):
            self._connection.execute(statement, {"landed_at": landed_at, "load_id": self._load_id})
        self._write_rejected_records(landed_at)
        self._connection.execute(
            """
            create or replace temp table file_counts as
            with rejected_records as (
                select distinct file_index, record_number from parsed_records where problem is not null
            ),

            -- A record that is rejected because of another part counts as rejected.
            records_erased as (
                select * from erased_records anti join rejected_records using (file_index, record_number)
            ),

            all_records as (
                select file_index, record_number from parsed_records
                union
                select file_index, record_number from erased_records
            )

            select
                file_index,
                count(*) as records,
                count(*) filter ((file_index, record_number) in (from rejected_records)) as rejected,
                count(*) filter ((file_index, record_number) in (from records_erased)) as erased
            from all_records
            group by file_index
            """
        )
        self._write_ledger("landed", None)
        counts = self._connection.execute(
            "select coalesce(sum(records), 0)::bigint, coalesce(sum(rejected), 0)::bigint, coalesce(sum(erased), 0)::bigint "
            "from file_counts"
        ).fetchone()
        assert counts is not None
        return _Counts(*counts)

    def _register_files(self, attempts: dict[int, _Attempt]) -> None:
        rows = [
            {
                "file_index": index,
                "file_name": attempt.copy.file.name,
                "content_sha256": attempt.reading.sha256,
                "bytes": attempt.reading.bytes,
            }
            for index, attempt in attempts.items()
        ]
        schema = pa.schema([("file_index", pa.int32()), ("file_name", pa.string()), ("content_sha256", pa.string()), ("bytes", pa.int64())])
        self._connection.register("files_to_land", pa.Table.from_pylist(rows, schema=schema))
        # A table, because DuckDB knows its size; with the Arrow table, it picked the wrong build side for the join.
        self._connection.execute("create or replace temp table batch_files as from files_to_land")
        self._connection.unregister("files_to_land")

    def _write_rejected_records(self, landed_at: datetime) -> None:
        self._connection.execute(
            """
            insert into raw.rejected_records by name
            with rejected as (
                select
                    file_index,
                    record_number,
                    line_number,
                    array_to_string(list_sort(list_distinct(flatten(list(string_split(problem, '; '))))), '; ') as reason
                from parsed_records
                where problem is not null
                group by file_index, record_number, line_number
            ),

            -- A record with many rows keeps its text in one of them, which may be the row of a good item.
            texts as (
                select file_index, record_number, any_value(record) as record
                from parsed_records
                where record is not null and (file_index, record_number) in (select (file_index, record_number) from rejected)
                group by file_index, record_number
            )

            select
                $feed as feed,
                f.file_name,
                r.line_number,
                r.reason,
                t.record,
                f.content_sha256,
                $landed_at as landed_at
            from rejected as r
            inner join batch_files as f using (file_index)
            left join texts as t using (file_index, record_number)
            """,
            {"feed": self._feed.name, "landed_at": landed_at},
        )

    def _write_ledger(self, status: str, reason: str | None) -> None:
        """Write a ledger row for each of `batch_files`, with its `file_counts`, or zeros if it has none."""
        self._connection.execute(
            """
            insert into raw.landed_files by name
            select
                $feed as feed, f.file_name, f.content_sha256, f.bytes,
                coalesce(c.records, 0) as records,
                coalesce(c.records - c.rejected - c.erased, 0) as landed,
                coalesce(c.rejected, 0) as rejected,
                coalesce(c.erased, 0) as erased,
                $status as status, $reason as reason, $landed_at as landed_at, $load_id as load_id, $reader_version as reader_version
            from batch_files as f
            left join file_counts as c using (file_index)
            """,
            {
                "feed": self._feed.name,
                "status": status,
                "reason": reason,
                "landed_at": datetime.now(UTC).replace(tzinfo=None),
                "load_id": self._load_id,
                "reader_version": READER_VERSION,
            },
        )

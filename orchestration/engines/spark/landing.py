"""Land a feed on executors: each task reads some files with the single-machine landing code into its own DuckDB.

Typed rows, rejected records, line numbers and counts are therefore the same as on one machine. Files of equal size, which include all
files with the same content, go to the same task, together with the ledger rows of that size. So the same code also decides whether a
content is known, has two names, or is damaged under one of them.

Executors write Parquet files below the lake. The driver appends them to the raw tables and the quarantine, and then writes the ledger,
which makes the rows valid. During the load, the lake contains a folder of it, which the next run finds after a kill. If the ledger does
not contain the load, that run deletes the load's rows; otherwise it deletes the rows that the load replaced.
"""

from __future__ import annotations

import heapq
import json
import shutil
from collections import defaultdict
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import duckdb

from orchestration.engines.spark.executors import on_executors, open_scratch
from orchestration.engines.spark.locations import pattern_of
from orchestration.engines.spark.tables import ControlTables, copy_to_parquet
from orchestration.files import quoted
from orchestration.landing import ledger
from orchestration.landing.erased import MESSAGE_IDENTIFIERS_SQL, ErasedPeople
from orchestration.landing.feeds import FEED_NAMES, FEEDS, MACROS_SQL, READER_VERSION, Feed
from orchestration.landing.land import Lander, LandingReport, plan_landing
from orchestration.landing.listing import LandingFile
from orchestration.landing.migrations import prepare_raw_schema
from orchestration.landing.zone import LandingZone
from orchestration.settings import Settings
from orchestration.transform.builds import invalidate_builds

if TYPE_CHECKING:
    from pyspark.sql import SparkSession  # pyright: ignore[reportMissingImports]

_LOAD = "load.json"
_QUARANTINE, _LEDGER, _LISTING = "rejected_records", "landed_files", "landing_listing"
# The temporary view, in this session, of the contents that a load has read again.
_REPLACED = "replaced_contents"
# One task per 256 MiB of files, and at least one per core if there are enough files. A lost task is repeated as a whole.
_TASK_BYTES = 256 << 20
_COUNTS = ("files_known", "files_landed", "files_reread", "records", "landed", "rejected", "erased")
_NAMES = ("files_set_aside", "files_changed")


def land_on_executors(
    spark: SparkSession, control: ControlTables, settings: Settings, lake: Path, zone: LandingZone, feed: Feed, erased: ErasedPeople
) -> LandingReport:
    """Land the new files of a feed, as `land.land_feed` does on one machine."""
    connection = control.connection
    load = _Load(spark, control, lake, feed)
    load.recover()
    report, new, unread = plan_landing(connection, zone, feed, reread=settings.reread)
    if new:
        load.begin()
        for result in _read_files(spark, settings, load, new, erased):
            load.collect_results(result["tables"])
            for name in _COUNTS:
                setattr(report, name, getattr(report, name) + result["report"][name])
            for name in _NAMES:
                getattr(report, name).extend(result["report"][name])
            unread |= result["unread"]
        load.append_rows()
    ledger.write_unread(connection, feed, unread, READER_VERSION)
    control.write()
    if new:
        load.finish()
    return report


class _Load:
    """A load of a feed in progress. A folder in the lake stores everything that is needed after a kill."""

    def __init__(self, spark: SparkSession, control: ControlTables, lake: Path, feed: Feed) -> None:
        self._spark, self._control, self.feed = spark, control, feed
        self.folder = lake / ".landing" / feed.name.replace("/", "_")
        self._files: dict[str, list[str]] = defaultdict(list)
        self.load_id = 0
        # All rows of a load have the same time, from the driver's clock only. It distinguishes them from the rows that they replace.
        self.landed_at = datetime.min
        self._replaced: list[tuple[str, int, str]] = []

    def begin(self) -> None:
        connection = self._control.connection
        (newest,) = connection.execute("select max(landed_at) from raw.landed_files").fetchone() or (None,)
        now = datetime.now(UTC).replace(tzinfo=None)
        self.load_id = ledger.next_load_id(connection)
        self.landed_at = now if newest is None else max(now, newest + timedelta(microseconds=1))
        self.folder.mkdir(parents=True)
        self._write()

    def recover(self) -> None:
        """Finish or undo the load of a run that was killed."""
        if not self.folder.exists():
            return
        if (self.folder / _LOAD).exists():
            found = json.loads((self.folder / _LOAD).read_text(encoding="utf-8"))
            self.load_id, self.landed_at = int(found["load_id"]), datetime.fromisoformat(found["landed_at"])
            self._replaced = [(name, load_id, sha256) for name, load_id, sha256 in found["replaced"]]
            if not self._is_in_ledger():
                for table in self.feed.tables:
                    self._spark.sql(f"delete from raw.{table} where _load_id >= {self.load_id}")
                self._delete_rejected("landed_at >= :landed_at")
                self._replaced = []
        self.finish()

    def collect_results(self, tables: dict[str, str]) -> None:
        """Copy an executor's results into the driver's ledger and listing, and note its files of rows to append."""
        connection = self._control.connection
        for table in (*self.feed.tables, _QUARANTINE):
            if table in tables:
                self._files[table].append(tables[table])
        if _LEDGER in tables:
            connection.execute(f"create or replace temp table new_ledger as from read_parquet({quoted(tables[_LEDGER])})")
            known = "feed = $feed and content_sha256 in (select content_sha256 from new_ledger)"
            values = {"feed": self.feed.name}
            self._replaced += connection.execute(
                f"select file_name, load_id, content_sha256 from raw.landed_files where {known}", values
            ).fetchall()
            connection.execute(f"delete from raw.landed_files where {known}", values)
            connection.execute("insert into raw.landed_files by name from new_ledger")
            connection.execute("drop table new_ledger")
        if _LISTING in tables:
            connection.execute(f"create or replace temp table new_listing as from read_parquet({quoted(tables[_LISTING])})")
            connection.execute("delete from raw.landing_listing where (feed, file_name) in (select (feed, file_name) from new_listing)")
            connection.execute("insert into raw.landing_listing by name from new_listing")
            connection.execute("drop table new_listing")

    def append_rows(self) -> None:
        """Append the rows that executors have read. They become valid when the ledger is written."""
        self._write()
        for table, files in self._files.items():
            self._spark.read.parquet(*(pattern_of(Path(file)) for file in files)).writeTo(f"raw.{table}").append()
        if self._replaced:
            # State models have counted the rows that will be deleted.
            invalidate_builds(self._control.connection, after_reread=True)

    def finish(self) -> None:
        """Delete the old rows of the contents that the load has read again, and the folder of the load."""
        if self._replaced:
            replaced: Any = self._spark.createDataFrame(self._replaced, "file_name string, load_id bigint, content_sha256 string")
            replaced.createOrReplaceTempView(_REPLACED)
            # Load ids are numbers, so this condition lets Iceberg skip all files without rows of these loads.
            loads = ", ".join(str(load_id) for load_id in sorted({load_id for _, load_id, _ in self._replaced}))
            is_replaced = f"exists (select 1 from {_REPLACED} as r where r.file_name = t._file_name and r.load_id = t._load_id)"
            for table in self.feed.tables:
                self._spark.sql(f"delete from raw.{table} as t where t._load_id in ({loads}) and {is_replaced}")
            self._delete_rejected(
                f"landed_at < :landed_at and exists (select 1 from {_REPLACED} as r where r.content_sha256 = t.content_sha256)"
            )
            self._spark.catalog.dropTempView(_REPLACED)
        shutil.rmtree(self.folder)
        self._control.read_quarantine()

    def _write(self) -> None:
        load = {"load_id": self.load_id, "landed_at": self.landed_at.isoformat(), "replaced": self._replaced}
        draft = self.folder / f".{_LOAD}.draft"
        draft.write_text(json.dumps(load), encoding="utf-8")
        draft.replace(self.folder / _LOAD)

    def _is_in_ledger(self) -> bool:
        return self._control.connection.execute(
            "select count(*) > 0 from raw.landed_files where feed = $feed and load_id = $load_id and landed_at = $landed_at",
            {"feed": self.feed.name, "load_id": self.load_id, "landed_at": self.landed_at},
        ).fetchone() == (True,)

    def _delete_rejected(self, condition: str) -> None:
        # Values are bound, because the name of a feed or a file may contain any character.
        landed_at = self.landed_at.replace(tzinfo=UTC)
        self._spark.sql(
            f"delete from raw.{_QUARANTINE} as t where feed = :feed and {condition}",
            {"feed": self.feed.name, "landed_at": landed_at},
        )


def _read_files(spark: SparkSession, settings: Settings, load: _Load, new: list[LandingFile], erased: ErasedPeople) -> list[dict[str, Any]]:
    """Have executors read the files, and repeat that if one found new identifiers or messages of erased people."""
    connection = load._control.connection
    groups = _groups(new, spark.sparkContext.defaultParallelism)
    while True:
        common = {
            "feed": load.feed.name,
            "landing": settings.landing,
            "max_record_bytes": settings.max_record_bytes,
            "load_id": load.load_id,
            "landed_at": load.landed_at.isoformat(),
            "folder": str(load.folder),
        }
        # Erased people are keyed hashes. The key is sent with them; it appears in no log.
        people = erased.as_json() if erased.people else None
        tasks = [
            json.dumps({**common, "files": [asdict(file) for file in files], "ledger": _entries(connection, load, files), "erased": people})
            for files in groups
        ]
        results = [json.loads(result) for result in on_executors(spark, _land, tasks)]
        is_extended = erased.merge([person for result in results for person in result["erased"]])
        if not (_extend_from_landed_rows(spark, results, erased) or is_extended):
            return results
        erased.save()


def _extend_from_landed_rows(spark: SparkSession, results: list[dict[str, Any]], erased: ErasedPeople) -> bool:
    """Extend erased people by identifiers that landed with their messages in this load; return whether any was new."""
    found = sorted({(kind, message_id) for result in results for kind, message_id in result["erased_messages"]})
    if not found:
        return False
    # As rows, because Spark logs the values in a query.
    spark.createDataFrame(found, "kind string, message_id string").createOrReplaceTempView("erased_messages")
    is_extended = erased.extend_from_landed_rows(spark.sql(MESSAGE_IDENTIFIERS_SQL).collect())
    spark.catalog.dropTempView("erased_messages")
    return is_extended


def _groups(files: list[LandingFile], cores: int) -> list[list[LandingFile]]:
    """Distribute the files over tasks of similar total size, all files of equal size to the same task."""
    by_size: dict[int, list[LandingFile]] = defaultdict(list)
    for file in files:
        by_size[file.bytes].append(file)
    count = min(len(by_size), max(cores, sum(file.bytes for file in files) // _TASK_BYTES))
    groups: list[list[LandingFile]] = [[] for _ in range(count)]
    load = [(0, number) for number in range(count)]
    for size, of_size in sorted(by_size.items(), key=lambda item: -item[0] * len(item[1])):
        least, number = heapq.heappop(load)
        groups[number] += of_size
        heapq.heappush(load, (least + (size + 1) * len(of_size), number))
    return [sorted(group, key=lambda file: file.name) for group in groups]


def _entries(connection: duckdb.DuckDBPyConnection, load: _Load, files: list[LandingFile]) -> list[dict[str, Any]]:
    """Return the ledger rows of all contents that have the size of one of the files."""
    found = connection.execute(
        "select * replace (landed_at::varchar as landed_at) from raw.landed_files where feed = $feed and bytes in (select unnest($sizes))",
        {"feed": load.feed.name, "sizes": sorted({file.bytes for file in files})},
    )
    names = [name for name, *_ in found.description or []]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def _land(task: str) -> str:
    """Read some files on an executor; return the paths of their rows and the report of the single-machine landing, as JSON."""
    arguments = json.loads(task)
    feed = next(feed for feed in FEEDS if feed.name == arguments["feed"])
    report = LandingReport(feed.name)
    # The folder of this attempt only: a task may run twice, and the files of one attempt are then ignored.
    folder = Path(arguments["folder"]) / uuid4().hex
    folder.mkdir()
    with TemporaryDirectory(prefix="landing-") as scratch, open_scratch(scratch) as connection:
        erased = ErasedPeople.from_json(Path(scratch) / "erased_people.json", arguments["erased"]) if arguments["erased"] else None
        prepare_raw_schema(connection)
        connection.execute(MACROS_SQL)
        for entry in arguments["ledger"]:
            columns = ", ".join(entry)
            connection.execute(f"insert into raw.landed_files ({columns}) values ({', '.join('$' + name for name in entry)})", entry)
        files = [LandingFile(**file) for file in arguments["files"]]
        lander = Lander(connection, feed, erased, arguments["max_record_bytes"], report, load_id=arguments["load_id"])
        lander.land_files(LandingZone(arguments["landing"], FEED_NAMES), files)
        tables = _write_parquet(connection, feed, folder, arguments["load_id"], arguments["landed_at"])
    of_erased: dict[str, Any] = {"erased": [], "erased_messages": []}
    if erased is not None:
        of_erased = {"erased": erased.as_json()["people"], "erased_messages": sorted(erased.messages_in_clear)}
    return json.dumps({"tables": tables, "report": asdict(report), "unread": lander.unread, **of_erased})


def _write_parquet(connection: duckdb.DuckDBPyConnection, feed: Feed, folder: Path, load_id: int, landed_at: str) -> dict[str, str]:
    """Write the landed rows as Parquet, one file for each table that has rows; return the paths by table."""
    at = f"timestamp '{landed_at}'"
    queries = {table: f"select * replace ({at} as _landed_at) from raw.{table}" for table in feed.tables}
    queries[_QUARANTINE] = f"select * replace ({at} as landed_at) from raw.{_QUARANTINE}"
    queries[_LEDGER] = f"select * replace ({at} as landed_at) from raw.{_LEDGER} where load_id = {load_id}"
    queries[_LISTING] = f"from raw.{_LISTING}"
    tables = {table: folder / f"{table}.parquet" for table in queries}
    return {table: str(path) for table, path in tables.items() if copy_to_parquet(connection, queries[table], path)}

"""The Spark engine: the warehouse is Iceberg tables in a lake, written by a Spark cluster (contract, section 8)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb

from orchestration.engines.spark.erasure import erase_from_lake, erase_late_rows_from_lake, finish_erasure, plan_on_lake
from orchestration.engines.spark.executors import on_executors, open_scratch
from orchestration.engines.spark.history import expire_history
from orchestration.engines.spark.landing import land_on_executors
from orchestration.engines.spark.publication import publish_from_lake
from orchestration.engines.spark.session import spark_session
from orchestration.engines.spark.tables import ControlTables, drop_tables
from orchestration.engines.spark.time_zones import refuse_other_rules
from orchestration.errors import StartsError
from orchestration.exports.daily import DailyExports, Drafts, export_days, write_drafts
from orchestration.exports.manifest import ExportedFile
from orchestration.files import quoted
from orchestration.landing.erased import ErasedPeople
from orchestration.landing.feeds import FEED_NAMES, Feed
from orchestration.landing.land import LandingReport
from orchestration.landing.zone import LandingZone
from orchestration.maintenance.erasure import Erasure
from orchestration.maintenance.from_landing import refuse_to_lose_files
from orchestration.maintenance.person_rows import FILES_WITH_ERASED_TEXTS_SQL
from orchestration.publication.publish import Publication
from orchestration.publication.versions import current_version
from orchestration.settings import Contacts, Settings, SparkSettings
from orchestration.transform.builds import MARTS, FinishedBuild
from orchestration.warehouse import writer_lock

# Few enough tasks that the days of each outweigh its fixed cost, and enough tasks to keep all cores busy.
_TASKS_PER_CORE = 4


@dataclass
class _Opened:
    """The driver's copy of the lake's small tables: one per process, like the Spark session."""

    tables: ControlTables | None = None
    depth: int = 0
    lake: Path = field(default_factory=Path)


_opened = _Opened()


@dataclass(frozen=True)
class SparkEngine:
    """The implementation of `orchestration.engines.engine.Engine` on a Spark cluster."""

    settings: Settings
    spark_settings: SparkSettings

    @contextmanager
    def open(self) -> Iterator[duckdb.DuckDBPyConnection]:
        tables = self._tables()
        _opened.depth += 1
        try:
            yield tables.connection
            if not tables.is_stale and _opened.tables is tables:
                tables.write()
        except BaseException:
            tables.is_stale = True
            raise
        finally:
            _opened.depth -= 1

    def _tables(self) -> ControlTables:
        spark = spark_session(self.spark_settings)
        lake = self.spark_settings.lake
        if _opened.tables is None or _opened.lake != lake:
            _opened.tables, _opened.lake = ControlTables(spark, lake), lake
            self._show_marts(_opened.tables.connection)
        elif _opened.depth == 0 or _opened.tables.is_stale:
            # Another process may have written to the lake since the last read, or a block has failed.
            _opened.tables.read()
            self._show_marts(_opened.tables.connection)
        return _opened.tables

    @contextmanager
    def open_to_maintain(self) -> Iterator[duckdb.DuckDBPyConnection]:
        self._refuse_without_catalog()
        with writer_lock(self.settings), self.open() as connection:
            self._refuse_empty(connection)
            yield connection

    @contextmanager
    def open_to_read(self) -> Iterator[duckdb.DuckDBPyConnection]:
        self._refuse_without_catalog()
        with self.open() as connection:
            self._refuse_empty(connection)
            self._tables().read_quarantine(with_texts=True)
            try:
                yield connection
            finally:
                self._tables().read_quarantine()

    def remove_for_landing(self) -> None:
        zone = LandingZone(self.settings.landing, FEED_NAMES)
        with writer_lock(self.settings), self.open() as connection:
            refuse_to_lose_files(connection, zone, str(self.spark_settings.lake))
            drop_tables(spark_session(self.spark_settings), self.spark_settings.lake)
            _opened.tables = None

    def _refuse_without_catalog(self) -> None:
        # Opening the lake would create a catalog.
        if not self.spark_settings.lake.exists():
            raise self._nothing_landed()

    def _refuse_empty(self, connection: duckdb.DuckDBPyConnection) -> None:
        if connection.execute("select count(*) from raw.landed_files").fetchone() == (0,):
            raise self._nothing_landed()

    def _nothing_landed(self) -> StartsError:
        return StartsError(
            f"Nothing has landed yet in the lake {self.spark_settings.lake}. Run the job first, or set STARTS_LAKE to another lake."
        )

    @contextmanager
    def lock_to_maintain(self) -> Iterator[None]:
        self._refuse_without_catalog()
        with writer_lock(self.settings):
            with self.open() as connection:
                self._refuse_empty(connection)
                finish_erasure(spark_session(self.spark_settings), self._tables(), self.settings, self.spark_settings.lake)
            yield

    def plan_erasure(self, identifier: str) -> Erasure:
        with self.open() as connection:
            erasure, *_ = plan_on_lake(spark_session(self.spark_settings), connection, self.settings, identifier)
        return erasure

    def erase_person(self, identifier: str) -> Erasure:
        with self.open():
            spark, lake = spark_session(self.spark_settings), self.spark_settings.lake
            return erase_from_lake(spark, self._tables(), self.settings, lake, identifier)

    def erase_late_rows(self, connection: duckdb.DuckDBPyConnection) -> int:
        return erase_late_rows_from_lake(spark_session(self.spark_settings), self._tables(), self.settings, self.spark_settings.lake)

    def files_with_erased_texts(self, connection: duckdb.DuckDBPyConnection) -> list[tuple[str, int | None]]:
        return [tuple(row) for row in spark_session(self.spark_settings).sql(FILES_WITH_ERASED_TEXTS_SQL).collect()]

    def land(self, connection: duckdb.DuckDBPyConnection, zone: LandingZone, feed: Feed, erased: ErasedPeople) -> LandingReport:
        spark = spark_session(self.spark_settings)
        for time_zone in self.settings.time_zones:
            refuse_other_rules(spark, time_zone)
        finish_erasure(spark, self._tables(), self.settings, self.spark_settings.lake)
        return land_on_executors(spark, self._tables(), self.settings, self.spark_settings.lake, zone, feed, erased)

    def rows(self, connection: duckdb.DuckDBPyConnection, table: str) -> int:
        summary = "summary['total-records']"
        rows = (
            spark_session(self.spark_settings)
            .sql(f"select {summary} as rows from raw.{table}.snapshots order by committed_at desc limit 1")
            .collect()
        )
        return int(rows[0]["rows"]) if rows else 0

    def delete_old_payloads(self, connection: duckdb.DuckDBPyConnection, first_day: date) -> None:
        if first_day <= date.min:
            return
        spark = spark_session(self.spark_settings)
        old = f"record is not null and landed_at < date '{first_day.isoformat()}'"
        if spark.sql(f"select 1 from raw.rejected_records where {old} limit 1").collect():
            spark.sql(f"update raw.rejected_records set record = null where {old}")
            expire_history(spark, "raw.rejected_records")

    def refresh_after_build(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._tables().read_state()

    def query_models(self, sql: str, limit: int) -> list[tuple[Any, ...]]:
        found = spark_session(self.spark_settings).sql(f"select * from (\n{sql}\n) order by all limit {limit}").collect()
        return [tuple(row) for row in found]

    def publish(self, connection: duckdb.DuckDBPyConnection, build: FinishedBuild, *, thorough: bool) -> Publication:
        publication = publish_from_lake(spark_session(self.spark_settings), connection, self.settings, build)
        self._show_marts(connection)
        return publication

    def export(self, connection: duckdb.DuckDBPyConnection, days: Iterable[date] = (), *, thorough: bool = False) -> DailyExports:
        return export_days(connection, self.settings, days, thorough=thorough, write=self._write_drafts)

    def _write_drafts(self, published: duckdb.DuckDBPyConnection, settings: Settings, days: list[date], now: datetime) -> Drafts:
        spark = spark_session(self.spark_settings)
        version = current_version(settings)
        assert version is not None
        size = -(-len(days) // (_TASKS_PER_CORE * spark.sparkContext.defaultParallelism)) or 1
        tasks = [json.dumps([day.isoformat() for day in days[at : at + size]]) for at in range(0, len(days), size)]
        # The keys in the settings are not sent to executors.
        executor_settings = replace(settings, spark=None, contacts=Contacts.PLAIN, mask_key=None)
        drafts: Drafts = {}
        for result in on_executors(spark, partial(_write_drafts_on_executor, executor_settings, str(version.database), now), tasks):
            for day, entry in json.loads(result).items():
                drafts[date.fromisoformat(day)] = ExportedFile.model_validate(entry) if entry is not None else None
        return drafts

    def _show_marts(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Create views of the published marts under the names of the marts: a run counts and previews the data that readers see."""
        connection.execute("create schema if not exists marts")
        version = current_version(self.settings)
        if version is None:
            return
        for mart in MARTS:
            connection.execute(f"drop view if exists marts.{mart}")
        connection.execute("detach database if exists published")
        connection.execute(f"attach {quoted(version.database)} as published (read_only)")
        for mart in MARTS:
            connection.execute(f"create view marts.{mart} as from published.main.{mart}")


def _write_drafts_on_executor(settings: Settings, database: str, now: datetime, task: str) -> str:
    """Write the TSVs of some days on an executor, with the single-machine export code."""
    days = [date.fromisoformat(day) for day in json.loads(task)]
    with TemporaryDirectory(prefix="export-") as scratch, open_scratch(scratch, database, read_only=True) as published:
        drafts = write_drafts(published, settings, days, now)
    return json.dumps({day.isoformat(): entry.model_dump(mode="json") if entry else None for day, entry in drafts.items()})

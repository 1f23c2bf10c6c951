"""The default engine: the warehouse is one DuckDB file."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any

import duckdb

from orchestration.exports.daily import DailyExports, export_days
from orchestration.landing.erased import ErasedPeople
from orchestration.landing.feeds import Feed
from orchestration.landing.land import LandingReport, land_feed
from orchestration.landing.rejections import delete_old_payloads
from orchestration.landing.zone import LandingZone
from orchestration.maintenance.erasure import Erasure, erase_person, plan_erasure
from orchestration.maintenance.from_landing import remove_warehouse_for_landing
from orchestration.maintenance.late_erasure import erase_late_rows
from orchestration.maintenance.person_rows import FILES_WITH_ERASED_TEXTS_SQL
from orchestration.publication.publish import Publication, publish
from orchestration.settings import Settings
from orchestration.transform.builds import FinishedBuild
from orchestration.warehouse import open_warehouse, read_warehouse, writer_lock_if_landed


@dataclass(frozen=True)
class DuckDBEngine:
    """The implementation of `orchestration.engines.engine.Engine` on `warehouse.duckdb`."""

    settings: Settings

    def open(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        return open_warehouse(self.settings)

    @contextmanager
    def open_to_maintain(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with writer_lock_if_landed(self.settings), open_warehouse(self.settings) as connection:
            yield connection

    def open_to_read(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        return read_warehouse(self.settings)

    def remove_for_landing(self) -> None:
        remove_warehouse_for_landing(self.settings)

    def lock_to_maintain(self) -> AbstractContextManager[None]:
        return writer_lock_if_landed(self.settings)

    def plan_erasure(self, identifier: str) -> Erasure:
        return plan_erasure(self.settings, identifier)

    def erase_person(self, identifier: str) -> Erasure:
        return erase_person(self.settings, identifier)

    def erase_late_rows(self, connection: duckdb.DuckDBPyConnection) -> int:
        return erase_late_rows(connection, self.settings)

    def files_with_erased_texts(self, connection: duckdb.DuckDBPyConnection) -> list[tuple[str, int | None]]:
        return connection.execute(FILES_WITH_ERASED_TEXTS_SQL).fetchall()

    def land(self, connection: duckdb.DuckDBPyConnection, zone: LandingZone, feed: Feed, erased: ErasedPeople) -> LandingReport:
        settings = self.settings
        return land_feed(connection, zone, feed, erased, reread=settings.reread, max_record_bytes=settings.max_record_bytes)

    def rows(self, connection: duckdb.DuckDBPyConnection, table: str) -> int:
        row = connection.execute(f"select count(*) from raw.{table}").fetchone()
        assert row is not None
        return int(row[0])

    def delete_old_payloads(self, connection: duckdb.DuckDBPyConnection, first_day: date) -> None:
        delete_old_payloads(connection, first_day)

    def refresh_after_build(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Do nothing: dbt wrote to the same file."""

    def query_models(self, sql: str, limit: int) -> list[tuple[Any, ...]]:
        with open_warehouse(self.settings) as connection:
            return connection.execute(f"select * from (\n{sql}\n) order by all limit {limit}").fetchall()

    def publish(self, connection: duckdb.DuckDBPyConnection, build: FinishedBuild, *, thorough: bool) -> Publication:
        return publish(connection, self.settings, build, thorough=thorough)

    def export(self, connection: duckdb.DuckDBPyConnection, days: Iterable[date] = (), *, thorough: bool = False) -> DailyExports:
        return export_days(connection, self.settings, days, thorough=thorough)

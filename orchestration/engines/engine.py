"""The interface of the engines for assets and commands. All other code is the same for both engines."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from datetime import date
from typing import TYPE_CHECKING, Any, Protocol

from orchestration.settings import Settings

if TYPE_CHECKING:
    import duckdb

    from orchestration.exports.daily import DailyExports
    from orchestration.landing.erased import ErasedPeople
    from orchestration.landing.feeds import Feed
    from orchestration.landing.land import LandingReport
    from orchestration.landing.zone import LandingZone
    from orchestration.maintenance.erasure import Erasure
    from orchestration.publication.publish import Publication
    from orchestration.transform.builds import FinishedBuild


class Engine(Protocol):
    """A warehouse and the operations on it. Call the methods within a `with` block of `open`, unless their docstring differs.

    A connection has the schemas `raw` and `state` of `raw_schema.sql` and, after the first publication, `marts`. On Spark, the tables
    of raw rows are empty in it: `rows` counts them.
    """

    def open(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """Open the warehouse for a `with` block. Changes in the ledger of files and builds are saved at the end of the block.

        Raises `StartsError` if it cannot be opened.
        """
        ...

    def open_to_maintain(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """Open a warehouse with landed data, and hold the writer's lock. Raises `StartsError` for any other."""
        ...

    def open_to_read(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """Open a warehouse with landed data for reading, without the lock, and with the texts of rejected records."""
        ...

    def remove_for_landing(self) -> None:
        """Delete the warehouse, so that the next run lands the whole zone in a new one. Raises `StartsError` if that loses records."""
        ...

    def lock_to_maintain(self) -> AbstractContextManager[None]:
        """Hold the writer's lock of a warehouse with landed data, without opening it. Raises `StartsError` for any other."""
        ...

    def plan_erasure(self, identifier: str) -> Erasure:
        """Return what erasing a person would delete. Call it with an up-to-date table of people, the lock, and no open warehouse."""
        ...

    def erase_person(self, identifier: str) -> Erasure:
        """Erase a person from the raw tables, under the same conditions. The job must run afterwards; it rebuilds everything else."""
        ...

    def erase_late_rows(self, connection: duckdb.DuckDBPyConnection) -> int:
        """Delete rows that landed before they were known to belong to an erased person; return the number of raw rows."""
        ...

    def files_with_erased_texts(self, connection: duckdb.DuckDBPyConnection) -> list[tuple[str, int | None]]:
        """Return the files and loads with texts that named an erased person; rejected records have no load."""
        ...

    def land(self, connection: duckdb.DuckDBPyConnection, zone: LandingZone, feed: Feed, erased: ErasedPeople) -> LandingReport:
        """Land the new data of a feed (contract, section 3)."""
        ...

    def rows(self, connection: duckdb.DuckDBPyConnection, table: str) -> int:
        """Return how many rows a raw table has."""
        ...

    def delete_old_payloads(self, connection: duckdb.DuckDBPyConnection, first_day: date) -> None:
        """Clear the texts of records that were rejected before a day."""
        ...

    def refresh_after_build(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Take over the changes that dbt made."""
        ...

    def query_models(self, sql: str, limit: int) -> list[tuple[Any, ...]]:
        """Return the first `limit` rows of a query over dbt's models, ordered by all columns. dbt may be running."""
        ...

    def publish(self, connection: duckdb.DuckDBPyConnection, build: FinishedBuild, *, thorough: bool) -> Publication:
        """Update the published data to a finished build; with `thorough`, first compare it with the marts."""
        ...

    def export(self, connection: duckdb.DuckDBPyConnection, days: Iterable[date] = (), *, thorough: bool = False) -> DailyExports:
        """Update the daily TSVs to the published data, and check `days` in any case."""
        ...


def engine_of(settings: Settings) -> Engine:
    """Return the engine that STARTS_ENGINE selects; only that one is imported."""
    if settings.spark is not None:
        from orchestration.engines.spark.engine import SparkEngine

        return SparkEngine(settings, settings.spark)
    from orchestration.engines.duckdb import DuckDBEngine

    return DuckDBEngine(settings)

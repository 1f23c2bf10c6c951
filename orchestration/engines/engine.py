"""What differs between the engines, as the assets and commands see it; everything else is the same code on both."""

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
    """A warehouse and what works on it. The caller of each method is within a `with` block of `open`, unless it says otherwise.

    A connection has the schemas `raw` and `state` of `raw_schema.sql`, and once something is published `marts`, too. On Spark the
    tables of raw rows are empty in it: `rows` counts them.
    """

    def open(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """Open the warehouse for the time of a `with` block; what it changes in the record of files and builds is kept after it.

        Raises `StartsError` where it cannot be opened.
        """
        ...

    def open_to_maintain(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """Open a warehouse in which a run has landed, with the writer's lock. Raises `StartsError` for any other."""
        ...

    def open_to_read(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """Open a warehouse in which a run has landed, without the lock, and with the texts of rejected records."""
        ...

    def remove_for_landing(self) -> None:
        """Delete the warehouse, so that the next run lands the whole zone in a new one. Raises `StartsError` where that loses records."""
        ...

    def lock_to_maintain(self) -> AbstractContextManager[None]:
        """Hold the writer's lock of a warehouse in which a run has landed, without opening it. Raises `StartsError` for any other."""
        ...

    def plan_erasure(self, given: str) -> Erasure:
        """Return what erasing a person would take. The table of people is up to date, the lock is held, the warehouse is not open."""
        ...

    def erase_person(self, given: str) -> Erasure:
        """Erase a person from the raw tables, as above; the job has to run afterwards, and makes everything else again."""
        ...

    def erase_again(self, connection: duckdb.DuckDBPyConnection) -> int:
        """Take out what landed of someone who was erased before it was known to be of that person; return the number of raw rows."""
        ...

    def land(self, connection: duckdb.DuckDBPyConnection, zone: LandingZone, feed: Feed, erased: ErasedPeople) -> LandingReport:
        """Land what is new in a feed (contract, section 3)."""
        ...

    def rows(self, connection: duckdb.DuckDBPyConnection, table: str) -> int:
        """Return how many rows a raw table has."""
        ...

    def forget_old_payloads(self, connection: duckdb.DuckDBPyConnection, first_day: date) -> None:
        """Clear the texts of records that were rejected before a day."""
        ...

    def follow_build(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Take over what dbt has changed."""
        ...

    def query_models(self, sql: str, most: int) -> list[tuple[Any, ...]]:
        """Return the first rows of a query over dbt's models, in order of all their columns; dbt may be at work."""
        ...

    def publish(self, connection: duckdb.DuckDBPyConnection, build: FinishedBuild, *, thorough: bool) -> Publication:
        """Bring what is published up to a finished build; with `thorough` compare it with the marts first."""
        ...

    def export(self, connection: duckdb.DuckDBPyConnection, days: Iterable[date] = (), *, thorough: bool = False) -> DailyExports:
        """Bring the daily TSVs up to what is published, and look at some days in any case."""
        ...


def engine_of(settings: Settings) -> Engine:
    """Return the engine of STARTS_ENGINE; only that one is imported."""
    if settings.spark is not None:
        from orchestration.engines.spark.engine import SparkEngine

        return SparkEngine(settings, settings.spark)
    from orchestration.engines.duckdb import DuckDBEngine

    return DuckDBEngine(settings)

"""Compare Java's rules of time zones with DuckDB's: each has its own copy of the tz database, which changes several times a year.

Spark computes the days of the marts with Java's rules, and executors write local times into the TSVs with DuckDB's.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING

import duckdb

from orchestration.errors import StartsError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession  # pyright: ignore[reportMissingImports]

# WhatsApp exists since 2009. After 2060, the rules of nearly every zone only repeat themselves.
_FIRST_HOUR, _END_HOUR = (int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) // 3600 for year in (2009, 2061))


@cache
def refuse_other_rules(spark: SparkSession, zone: str) -> None:
    """Raise `StartsError` if Java does not know a zone that DuckDB knows, or has other rules for it."""
    of_java, of_duckdb = _offsets_of_java(spark, zone), _offsets_of_duckdb(zone)
    years = sorted(year for year, offsets in of_duckdb.items() if of_java.get(year) != offsets)
    if years:
        raise StartsError(
            f"Java has other rules than DuckDB for the time zone {zone} in {years[0]}: the marts and TSVs of Spark would differ from those "
            "of DuckDB. Update Java on the driver and on all executors; its releases contain the tz database."
        )


def _offsets_of_java(spark: SparkSession, zone: str) -> dict[int, int]:
    """Return the sum of the offsets of all hours, by year. Executors compute it, because their Java computes the marts."""
    from py4j.protocol import Py4JJavaError  # pyright: ignore[reportMissingImports]
    from pyspark.errors import PySparkException  # pyright: ignore[reportMissingImports]

    hours = f"select id as hour, timestamp_seconds(id * 3600) as utc from range({_FIRST_HOUR}, {_END_HOUR})"
    offset = f"unix_timestamp(from_utc_timestamp(utc, '{zone}')) - unix_timestamp(utc)"
    try:
        return {row["year"]: row["offsets"] for row in spark.sql(_by_year(hours, offset)).collect()}
    except (Py4JJavaError, PySparkException):
        # Java does not know the zone.
        return {}


def _offsets_of_duckdb(zone: str) -> dict[int, int]:
    hours = f"select hour, make_timestamp(hour * 3600000000) as utc from range({_FIRST_HOUR}, {_END_HOUR}) as hours (hour)"
    offset = f"cast(epoch(timezone('{zone}', timezone('UTC', utc))) - epoch(utc) as bigint)"
    with duckdb.connect() as connection:
        return dict(connection.execute(_by_year(hours, offset)).fetchall())


def _by_year(hours: str, offset: str) -> str:
    # The weights distinguish changes of an offset at different hours.
    offsets = f"cast(sum(({offset}) * (hour % 10007)) as bigint) as offsets"
    return f"select year(utc) as year, {offsets} from ({hours}) as hours group by year(utc)"

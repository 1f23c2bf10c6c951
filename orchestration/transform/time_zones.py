"""Compare DuckDB's rules of time zones with a newer tz database: a government's change takes months to reach DuckDB.

All local times and report days follow DuckDB's rules (contract, section 7). The package `tzdata` has a release for every change.
"""

from datetime import UTC, date, datetime, timedelta
from importlib import resources
from zoneinfo import ZoneInfo

import duckdb
import tzdata

# From a year before to a year after now: earlier rules no longer change, and later ones may still change.
_PERIOD = timedelta(days=365)
# Governments change the rules for weeks at least.
_STEP = timedelta(hours=6)


def warnings_of_other_rules(connection: duckdb.DuckDBPyConnection, zones: set[str], now: datetime) -> list[str]:
    """Return a sentence for each of the zones for which DuckDB has other rules than `tzdata` within a year of `now` (in UTC)."""
    first_days = {zone: _first_day_of_other_rules(connection, zone, now) for zone in sorted(zones)}
    return [
        f"DuckDB has other rules for the time zone {zone} from {day} on than the tz database {tzdata.IANA_VERSION}. Local times and days "
        "follow DuckDB's rules: if the government changed the zone's rules, they are wrong until you update DuckDB."
        for zone, day in first_days.items()
        if day is not None
    ]


def _first_day_of_other_rules(connection: duckdb.DuckDBPyConnection, zone: str, now: datetime) -> date | None:
    rules = _rules(zone)
    if rules is None:
        return None
    start = now.astimezone(UTC).replace(tzinfo=None) - _PERIOD
    # Read as naive times, because DuckDB would convert times with a zone by the zone of the session.
    rows = connection.execute(
        "select utc, timezone($zone, timezone('UTC', utc)) from unnest(range($start, $end, $step)) as times (utc)",
        {"zone": zone, "start": start, "end": start + 2 * _PERIOD, "step": _STEP},
    ).fetchall()
    return next(
        (local.date() for utc, local in rows if utc.replace(tzinfo=UTC).astimezone(rules).replace(tzinfo=None) != local),
        None,
    )


def _rules(zone: str) -> ZoneInfo | None:
    """Return the rules of `tzdata`: `ZoneInfo` itself prefers those of the machine. None if the package does not have the zone."""
    file = resources.files("tzdata").joinpath("zoneinfo", *zone.split("/"))
    if not file.is_file():
        return None
    with file.open("rb") as content:
        return ZoneInfo.from_file(content, key=zone)

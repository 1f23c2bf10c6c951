"""Tests that DuckDB's rules of time zones are compared with those of the package `tzdata`."""

from collections.abc import Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import duckdb
import pytest

from orchestration.transform import time_zones

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as made:
        made.execute("set timezone = 'Asia/Tokyo'")
        yield made


def test_same_rules_give_no_warning(connection: duckdb.DuckDBPyConnection) -> None:
    zones = {"America/Sao_Paulo", "America/Argentina/Buenos_Aires", "Europe/Lisbon", "Asia/Kathmandu", "Etc/GMT+3", "UTC"}
    assert time_zones.warnings_of_other_rules(connection, zones, NOW) == []


def test_warning_names_the_first_day_of_other_rules(connection: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch) -> None:
    # Another government has abolished the summer time.
    monkeypatch.setattr(time_zones, "_rules", {"Europe/Lisbon": ZoneInfo("UTC"), "UTC": ZoneInfo("UTC")}.get)
    (warning,) = time_zones.warnings_of_other_rules(connection, {"Europe/Lisbon", "UTC"}, NOW)
    assert warning.startswith("DuckDB has other rules for the time zone Europe/Lisbon from 2026-03-29 on than the tz database 20")


def test_differences_beyond_a_year_do_not_matter(connection: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch) -> None:
    # Brazil had summer time, the last time from 4 November 2018 to 17 February 2019.
    monkeypatch.setattr(time_zones, "_rules", lambda _: ZoneInfo("America/Sao_Paulo"))

    def first_days(now: datetime) -> list[str]:
        warnings = time_zones.warnings_of_other_rules(connection, {"America/Argentina/Buenos_Aires"}, now.replace(hour=12, tzinfo=UTC))
        return [warning.partition(" from ")[2].partition(" on ")[0] for warning in warnings]

    assert first_days(datetime(2017, 12, 1)) == ["2016-12-01"]
    assert first_days(datetime(2019, 6, 1)) == ["2018-11-04"]
    assert first_days(datetime(2020, 2, 10)) == ["2019-02-10"]
    assert first_days(datetime(2020, 2, 20)) == []


def test_zone_that_only_the_machine_knows_gives_no_warning(connection: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch) -> None:
    assert time_zones._rules("Asia/Atlantis") is None
    monkeypatch.setattr(time_zones, "_rules", lambda _: None)
    assert time_zones.warnings_of_other_rules(connection, {"America/Sao_Paulo"}, NOW) == []

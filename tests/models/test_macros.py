"""Tests of macros that no unit test of a model reaches: their SQL, compiled by dbt, on a few rows."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import duckdb
import pytest

from orchestration.landing.migrations import prepare_raw_schema
from orchestration.settings import Settings
from orchestration.transform.invocation import common_arguments, invoke
from orchestration.transform.parsed import parsed_project

# These tests share one warehouse.
pytestmark = pytest.mark.xdist_group("macros")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Return the settings of a warehouse with a finished build, an attempt since then, and changed days."""
    made = Settings(data=tmp_path_factory.mktemp("macros"))
    with duckdb.connect(str(made.warehouse_path)) as connection:
        prepare_raw_schema(connection)
        connection.execute("insert into state.builds values (1, now(), now(), 5, 'a'), (2, now(), null, 9, 'a')")
        connection.execute(
            """
            insert into state.changed_days values
                ('fct_notifications', date '2026-10-01', 1),
                ('fct_notifications', date '2026-10-02', 2),
                ('fct_billed_messages', date '2026-10-02', 2)
            """
        )
    return made


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as made:
        yield made


def compiled(settings: Settings, sql: str) -> str:
    invoke(settings, ["compile", "--inline", sql, "--quiet", *common_arguments(settings)], parsed_project(settings).manifest())
    (result,) = json.loads((settings.dbt_target_dir / "run_results.json").read_text(encoding="utf-8"))["results"]
    return result["compiled_code"]


def test_key_of_several_columns_depends_on_where_each_ends(settings: Settings, connection: duckdb.DuckDBPyConnection) -> None:
    key = compiled(settings, "{{ key_hash(['a', 'b']) }}")
    pairs = "(values ('a|b', 'c'), ('a', 'b|c'), ('a', 'b'), ('', 'a|b'), ('1|a', 'b'), ('3|a|b', 'c')) as pairs (a, b)"
    assert connection.execute(f"select count(distinct {key}) from {pairs}").fetchall() == [(6,)]
    assert connection.execute(f"select {key} from (values ('a', null), (null, 'a')) as pairs (a, b)").fetchall() == [(None,)] * 2


def test_current_time_is_in_utc_in_a_session_of_another_zone(settings: Settings, connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("set timezone = 'Asia/Tokyo'")
    row = connection.execute(f"select cast({compiled(settings, '{{ utc_now() }}')} as timestamp)").fetchone()
    assert row is not None
    assert abs((row[0] - datetime.now(UTC).replace(tzinfo=None)).total_seconds()) < 3600


@pytest.mark.parametrize(("watermark", "checked"), [(0, [1, 2, None]), (1, [2, None]), (2, [None])])
def test_check_of_an_increment_reads_days_after_its_watermark_and_rows_without_a_day(
    settings: Settings, connection: duckdb.DuckDBPyConnection, watermark: int, checked: list[int | None]
) -> None:
    with duckdb.connect(str(settings.warehouse_path)) as warehouse:
        warehouse.execute("delete from state.watermarks")
        # The watermark of another consumer does not matter.
        warehouse.execute("insert into state.watermarks by name select 'funnel_session_starts' as consumer, 9 as change_number")
        warehouse.execute("insert into state.watermarks by name select 'checks' as consumer, ? as change_number", [watermark])
    condition = compiled(settings, "{% if execute %}{{ is_on_changed_day('day') }}{% endif %}")
    days = "(values (date '2026-10-01'), (date '2026-10-02'), (date '2026-10-03'), (null)) as days (day)"
    found = connection.execute(f"select day(day) from {days} where {condition} order by day nulls last").fetchall()
    assert [day for (day,) in found] == checked


def test_check_of_an_increment_reads_all_rows_of_the_keys_of_new_loads_and_rows_without_a_key(
    settings: Settings, connection: duckdb.DuckDBPyConnection
) -> None:
    condition = compiled(settings, "{{ has_changed_key('landed', 'key', 'load_id') }}")
    connection.execute("create table landed (number integer, key integer, load_id integer)")
    # The finished build contains load 5; the attempt since then does not count.
    connection.execute("insert into landed values (1, 1, 5), (2, 1, 6), (3, 2, 5), (4, null, 1)")
    assert connection.execute(f"select number from landed where {condition} order by number").fetchall() == [(1,), (2,), (4,)]


@pytest.mark.parametrize(("length", "is_open"), [(66, False), (200, True)])
def test_component_is_settled_or_marked_as_open(
    settings: Settings, connection: duckdb.DuckDBPyConnection, length: int, is_open: bool
) -> None:
    connection.execute("create table links (identifier_1 varchar, identifier_2 varchar)")
    connection.executemany("insert into links values (?, ?)", [(f"{number:03}", f"{number + 1:03}") for number in range(length - 1)])
    sql = compiled(settings, "{{ connected_components('links') }}")
    found = connection.execute(f"select count(distinct component) > 1, bool_or(is_open), bool_and(is_open) from ({sql})").fetchall()
    assert found == [(is_open, is_open, is_open)]

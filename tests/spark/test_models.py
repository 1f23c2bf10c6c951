"""Tests of the dbt project on Spark: its unit tests, and the rules with a second implementation for Spark, against DuckDB.

`test_spark.py` compares whole runs; these tests use one session in this process, with all cores of the machine.
"""

import os
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest

from orchestration.engines.spark import time_zones
from orchestration.engines.spark.tables import ControlTables
from orchestration.errors import StartsError
from orchestration.settings import DBT_PROJECT_DIR, SparkSettings
from orchestration.transform.parsed import ParsedProject
from tests.spark.needs import NEEDS_SPARK, SHORT_LIVED_CONF

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.xdist_group("spark_models"),
    NEEDS_SPARK,
]

_WITH_COMPONENTS = ("int_lines_identified", "int_people_identified")
# One unit test takes Spark seven seconds, and all of them run on DuckDB. To run all on Spark: STARTS_TEST_SPARK_UNIT_TESTS=99.
_UNIT_TESTS_OF_A_MODEL = int(os.environ.get("STARTS_TEST_SPARK_UNIT_TESTS", "1"))

Values = dict[str | None, str | None]
Both = Callable[[str, Sequence[str | None]], tuple[Values, Values]]

AWKWARD_IDENTIFIERS = (
    "5511987650001", "551187650001", "+55 (11) 8765-0001", "whatsapp:+551187650001", "WhatsApp:", "whatsapp:",
    "551187650001@s.whatsapp.net", "5511987650001:7@C.US", "551187650001@c.us\n", "551187650001\n", "@c.us", "551130000002",
    "5491123450004", "541123450004", "5215512340003", "525512340003", "US.1349", "US.ENT.1349", "us.1349", "BR.\n1",
    "", " ", "+", "lab-line-7", "5511 98765 0001 ext 7", "٥٥١١", "５５１１", "a\u2028@c.us",
)  # fmt: skip
AWKWARD_SESSION_IDS = (
    "CHAT_2_2026-10-04T16:00:00Z", "CHAT_2_2026-10-04T16:00:00.000Z", "CHAT_2_2026-10-04T13:00:00-0300",
    "CHAT_2_2026-10-04T13:00:00.9-03:00",
    "CHAT_2_2026-10-04T16:00:00.000Z\n", "CHAT\u2028_2026-10-04T16:00:00Z", "CH\nAT_2026-10-04T16:00:00Z", "_2026-10-04T16:00:00Z",
    "CHAT_2026-02-30T16:00:00Z", "CHAT_2026-10-04T24:00:01Z", "CHAT_2026-10-04T16:00:00.1234567Z", "odd-27", "",
    "CHAT_2026-10-04T24:00:00Z", "CHAT_2026-10-04T16:00:00+18:01", "CHAT_2026-10-04T16:00:00+9999", "CHAT_2026-10-04T16:00:00-00:60",
)  # fmt: skip
AWKWARD_FAILURES = (
    "Undeliverable (131026)", "(131049.0)", "131049.0", "131049.5", " 131049 ", "131049\n", "a (1)\n(2) b", "(#131030) Not allowed",
    "( 131056 )", "(# 1)", "(x)", "(131026", "",
)  # fmt: skip
AWKWARD_CAUSES = ("Referral", "REFERRAL", "İSTANBUL", "ΟΔΟΣ", "Straße", "ORGANİC", "Ünknown")
AWKWARD_TIMES = ("1970-01-01 00:00:00", "2026-10-04 02:59:59.999999", "2018-11-04 03:00:00", "1900-01-01 00:00:00", "2400-02-29 23:59:59")


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # A path with characters that would end a text or an option.
    return tmp_path_factory.mktemp("lakes") / "a lake's"


@pytest.fixture(scope="module")
def spark(lake: Path) -> Iterator[Any]:
    from orchestration.engines.spark.session import spark_session, stop_session

    conf = SHORT_LIVED_CONF | {
        "spark.sql.shuffle.partitions": "2",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
    }
    yield spark_session(SparkSettings(lake, conf=conf))
    stop_session()


class Dbt:
    """dbt on one of the project's targets, in this process. Like the job it passes a parsed project, so this is not dbt by hand."""

    def __init__(self, folder: Path, target: str) -> None:
        self._warehouse = folder / "warehouse.duckdb"
        self._options = [
            "--target", target, "--project-dir", str(DBT_PROJECT_DIR), "--profiles-dir", str(DBT_PROJECT_DIR),
            "--target-path", str(folder / target), "--log-path", str(folder / target / "logs"),
        ]  # fmt: skip
        assert self._invoke(None, "parse").success
        self.parsed = ParsedProject(folder / target)

    def run(self, *arguments: str) -> list[Any]:
        """Run a command that must not fail, and return its results."""
        # A new manifest for each command, because a run changes it.
        result = self._invoke(self.parsed.manifest(), *arguments)
        failed = [one for one in getattr(result.result, "results", []) if one.status in {"error", "fail", "runtime error"}]
        assert result.success, result.exception or "\n".join(f"{one.node.name}: {one.message}" for one in failed)
        return result.result.results

    def by_hand(self, *arguments: str) -> Any:
        return self._invoke(None, *arguments)

    def compiled(self, sql: str) -> str:
        return self.run("compile", "--no-introspect", "--inline", sql)[0].node.compiled_code

    def _invoke(self, manifest: Any, *arguments: str) -> Any:
        from dbt.adapters.duckdb.connections import DuckDBConnectionManager
        from dbt.cli.main import dbtRunner

        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("STARTS_WAREHOUSE", str(self._warehouse))
            result = dbtRunner(manifest).invoke([*arguments, "--quiet", *self._options])
            DuckDBConnectionManager.close_all_connections()
        return result


@pytest.fixture(scope="module")
def dbt(spark: Any, tmp_path_factory: pytest.TempPathFactory) -> Dbt:
    return Dbt(tmp_path_factory.mktemp("dbt"), "spark")


@pytest.fixture(scope="module")
def dbt_on_duckdb(tmp_path_factory: pytest.TempPathFactory) -> Dbt:
    return Dbt(tmp_path_factory.mktemp("dbt"), "duckdb")


@pytest.fixture(scope="module")
def both(spark: Any, dbt: Dbt, dbt_on_duckdb: Dbt) -> Both:
    """Return a function that evaluates an expression with the project's macros, over a column `given`, on each engine."""

    def values(expression: str, texts: Sequence[str | None]) -> tuple[Values, Values]:
        rows = list(enumerate(texts))
        with duckdb.connect() as connection:
            connection.execute("set timezone = 'UTC'")
            connection.execute("create table texts (place integer, given varchar)")
            connection.executemany("insert into texts values (?, ?)", rows)
            of_duckdb = connection.execute(
                f"select cast(({dbt_on_duckdb.compiled(expression)}) as varchar) from texts order by place"
            ).fetchall()
        spark.createDataFrame(rows, "place int, given string").createOrReplaceTempView("texts")
        of_spark = spark.sql(f"select cast(({dbt.compiled(expression)}) as string) from texts order by place").collect()
        return dict(zip(texts, (row[0] for row in of_duckdb), strict=True)), dict(zip(texts, (row[0] for row in of_spark), strict=True))

    return values


@pytest.mark.parametrize(
    ("expression", "texts"),
    [
        ("{{ display_identifier('given') }}", AWKWARD_IDENTIFIERS),
        ("{{ comparable_identifier(display_identifier('given')) }}", AWKWARD_IDENTIFIERS),
        ("case when {{ is_number('given') }} then 'number' when {{ is_user_id('given') }} then 'user' end", AWKWARD_IDENTIFIERS),
        ("{{ digits_only('given') }}", AWKWARD_IDENTIFIERS),
        ("{{ market_key('given') }}", ("Central & Eastern Europe", "Côte d'Ivoire", "İstanbul", "")),
        ("{{ comparable_session_id('given') }}", AWKWARD_SESSION_IDS),
        ("{{ failure_code_from_text('given') }}", AWKWARD_FAILURES),
        ("{{ normalized_failure_code('given') }}", AWKWARD_FAILURES),
        ("{{ lower_case('given') }}", AWKWARD_CAUSES),
        ("{{ time_in_zone('cast(given as timestamp)', 'America/Sao_Paulo') }}", AWKWARD_TIMES),
        ("{{ iso_weekday('cast(given as timestamp)') }}", AWKWARD_TIMES),
    ],
)
def test_rule_gives_the_same_results_on_both_engines(both: Both, expression: str, texts: tuple[str, ...]) -> None:
    of_duckdb, of_spark = both(expression, (*texts, None))
    assert of_spark == of_duckdb


def test_zone_for_which_java_has_other_rules_is_refused(spark: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    time_zones.refuse_other_rules(spark, "America/Sao_Paulo")
    of_duckdb = time_zones._offsets_of_duckdb
    others = {"America/New_York": "America/Toronto", "Asia/Kathmandu": "Asia/Kolkata", "Mars/Olympus": "UTC"}
    monkeypatch.setattr(time_zones, "_offsets_of_duckdb", lambda zone: of_duckdb(others[zone]))
    # Toronto has New York's rules.
    time_zones.refuse_other_rules(spark, "America/New_York")
    for zone in ("Asia/Kathmandu", "Mars/Olympus"):
        with pytest.raises(StartsError, match=f"other rules than DuckDB for the time zone {zone} in 2009"):
            time_zones.refuse_other_rules(spark, zone)


@pytest.mark.parametrize("day", ["0001-01-01", "1582-10-04", "1582-10-05", "1582-10-14", "1582-10-15", "9999-12-31"])
def test_rows_of_a_day_are_replaced(spark: Any, day: str) -> None:
    """The calendar before 1582 went from October 4 to October 15."""
    spark.sql("create schema if not exists days")
    spark.sql("create or replace table days.rows_of_days (day date, row int) using iceberg partitioned by (day)")
    spark.sql(f"insert into days.rows_of_days values (date '{day}', 1), (date '2026-10-04', 2)")
    spark.sql(f"insert into days.rows_of_days replace where (day in (date '{day}')) select date '{day}', 3")
    assert [row["row"] for row in spark.sql("select row from days.rows_of_days order by row").collect()] == [2, 3]


def _components(links: list[tuple[str, str]]) -> dict[str, str]:
    """Return, for each identifier, the smallest identifier of its component."""
    smallest = {identifier: identifier for link in links for identifier in link}
    changed = True
    while changed:
        changed = False
        for one, other in links:
            label = min(smallest[one], smallest[other])
            changed |= smallest[one] != label or smallest[other] != label
            smallest[one] = smallest[other] = label
    return smallest


def test_components_of_any_shape_are_found(spark: Any, dbt: Dbt) -> None:
    rnd = random.Random(3)
    links: list[tuple[str, str]] = []
    forms: list[Callable[[int], int]] = [
        lambda n: n - 1,
        lambda n: 0,
        lambda n: rnd.randrange(n),
        lambda n: rnd.randrange(max(0, n - 3), n),
    ]
    for component in range(400):
        names = [f"{component:03}.{number:02}" for number in range(rnd.randrange(2, 21))]
        rnd.shuffle(names)
        form = rnd.choice(forms)
        links += [rnd.choice([(names[n], names[form(n)]), (names[form(n)], names[n])]) for n in range(1, len(names))]
    # One hub with 3,000 neighbours, and a chain that is far longer than a person's.
    links += [("hub", f"hub.{number:04}") for number in range(3000)]
    links += [(f"chain.{number:02}", f"chain.{number + 1:02}") for number in range(90)]
    spark.createDataFrame(links, "identifier_1 string, identifier_2 string").createOrReplaceTempView("links")
    sql = dbt.compiled("{{ connected_components('links') }}")
    found = spark.sql(sql).collect()
    assert {row["identifier"]: row["component"] for row in found} == _components(links)
    assert not any(row["is_open"] for row in found)


def test_unfinished_component_is_marked_as_open(spark: Any, dbt: Dbt) -> None:
    links = [(f"{number:05}", f"{number + 1:05}") for number in range(2000)]
    spark.createDataFrame(links, "identifier_1 string, identifier_2 string").createOrReplaceTempView("links")
    sql = dbt.compiled("{{ connected_components('links') }}")
    assert any(row["is_open"] for row in spark.sql(sql).collect())


@pytest.fixture(scope="module")
def empty_tables(spark: Any, lake: Path, dbt: Dbt) -> None:
    """Build every model over empty raw tables; unit tests take their column types from them."""
    ControlTables(spark, lake)
    dbt.run("build", "--empty", "--exclude-resource-type", "unit_test", "--exclude-resource-type", "test")


def test_unit_tests_of_the_models_pass_on_spark(empty_tables: None, dbt: Dbt) -> None:
    """Leave out unit tests with fixtures that only DuckDB reads (structs or hashes), and those of the two models with components.

    Outside a build no intermediate result is stored, and Spark plans such a model for minutes. `test_spark.py` compares the results of
    these models.
    """
    unit_tests = dbt.parsed.json["unit_tests"]
    left_out = {
        name for name, test in unit_tests.items() if "duckdb_fixture" in test["config"]["tags"] or test["model"] in _WITH_COMPONENTS
    }
    assert len(left_out) < 25
    of_models: dict[str, list[str]] = defaultdict(list)
    for name in sorted(unit_tests.keys() - left_out):
        of_models[unit_tests[name]["model"]].append(name)
    chosen = {name for names in of_models.values() for name in names[:_UNIT_TESTS_OF_A_MODEL]}
    tested = {result.node.unique_id for result in dbt.run("test", "--select", *sorted(unit_tests[name]["name"] for name in chosen))}
    assert tested & unit_tests.keys() == chosen


def test_dbt_by_hand_builds_nothing_on_spark(empty_tables: None, dbt: Dbt) -> None:
    result = dbt.by_hand("build")
    assert not result.success
    assert "On Spark only the job conversation_starts (make run) builds the marts" in str(
        result.exception or result.result.results[0].message
    )

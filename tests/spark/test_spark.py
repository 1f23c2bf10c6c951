"""Tests of the second engine on a cluster of several processes, against DuckDB (contract, section 8): `make spark-test`.

All tests use one lake, in this order: a run on Spark takes half a minute before it does anything.
"""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from deploy.spark import local_cluster
from orchestration.settings import PROJECT_ROOT
from tests.spark.needs import NEEDS_SPARK, SHORT_LIVED_CONF
from tests.spark.run import Warehouse, assert_same, assert_same_raw
from tests.spark.traces import files_with
from tests.spark.waiting import wait_for
from tests.spark.zones import write_batch, write_late_links

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.xdist_group("spark"),
    NEEDS_SPARK,
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("spark")


@pytest.fixture(scope="module")
def on_spark(folder: Path) -> Iterator[Warehouse]:
    try:
        variables = local_cluster.start(folder / "cluster")
        conf = [variables["STARTS_SPARK_CONF"], *(f"{name}={value}" for name, value in SHORT_LIVED_CONF.items())]
        variables |= {"STARTS_LAKE": str(folder / "lake"), "STARTS_SPARK_CONF": ";".join(conf)}
        yield Warehouse(folder / "landing", folder / "on_spark", variables)
    finally:
        local_cluster.stop(folder / "cluster")


@pytest.fixture(scope="module")
def on_duckdb(folder: Path) -> Warehouse:
    return Warehouse(folder / "landing", folder / "on_duckdb", {})


def _executors(cluster: Path) -> set[int]:
    """Return the process ids of the cluster's executors."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                command = (entry / "cmdline").read_bytes()
                of_cluster = (entry / "cwd").resolve().is_relative_to(cluster)
            except OSError:
                continue
            if of_cluster and b"CoarseGrainedExecutorBackend" in command:
                found.add(int(entry.name))
    return found


def test_first_build_equals_duckdb(on_spark: Warehouse, on_duckdb: Warehouse, folder: Path) -> None:
    write_batch(on_spark.landing, 0)
    dumps = (on_duckdb.dump(folder / "first" / "duckdb", "--run"), on_spark.dump(folder / "first" / "spark", "--run"))
    assert_same(on_duckdb, on_spark, *dumps)


def test_increment_equals_duckdb_after_kills(on_spark: Warehouse, on_duckdb: Warehouse, folder: Path) -> None:
    write_batch(on_spark.landing, 1)
    of_duckdb = on_duckdb.dump(folder / "increment" / "duckdb", "--run")
    loads = folder / "lake" / ".landing"
    on_spark.kill_when(lambda: any(loads.glob("*/*/*.parquet")))
    built = folder / "lake" / "intermediate.db"
    before = {path: path.stat().st_mtime_ns for path in built.glob("*/metadata")}
    on_spark.kill_when(lambda: any(path.stat().st_mtime_ns != before.get(path) for path in built.glob("*/metadata")))
    # Executors of the killed run end a moment later.
    of_killed_run = _executors(folder / "cluster")
    process = on_spark.start_dump(folder / "increment" / "spark", "--run")
    wait_for(lambda: _executors(folder / "cluster") - of_killed_run, seconds=300)
    os.kill((_executors(folder / "cluster") - of_killed_run).pop(), signal.SIGKILL)
    assert_same(on_duckdb, on_spark, of_duckdb, on_spark.finish_dump(process, folder / "increment" / "spark"))


def test_run_with_nothing_new_changes_nothing(on_spark: Warehouse) -> None:
    published = on_spark.published.resolve()
    tsvs = {path: path.stat().st_mtime_ns for path in (on_spark.data / "exports").glob("*.tsv")}
    assert "no report day changed; 0 daily TSVs written" in on_spark.run()
    # Spark and its catalog leave no files in the folder where they are started.
    assert not any((PROJECT_ROOT / name).exists() for name in ("spark-warehouse", "metastore_db", "derby.log"))
    assert on_spark.published.resolve() == published
    assert {path: path.stat().st_mtime_ns for path in tsvs} == tsvs


def test_replayed_files_replace_their_earlier_rows(on_spark: Warehouse, folder: Path) -> None:
    assert_same_raw(folder / "increment" / "duckdb", on_spark.dump(folder / "replayed", "--replay"))


def test_export_on_demand_needs_no_cluster(on_spark: Warehouse, on_duckdb: Warehouse) -> None:
    exports = []
    for warehouse in (on_spark, on_duckdb):
        variables = warehouse.variables | ({"STARTS_SPARK_MASTER": "spark://127.0.0.1:1"} if warehouse is on_spark else {})
        Warehouse(warehouse.landing, warehouse.data, variables).run("export", "--file-name", "all.tsv")
        exports.append((warehouse.data / "exports" / "on_demand" / "all.tsv").read_bytes())
    assert exports[0] == exports[1]


def _person_with_most_records(warehouse: Warehouse) -> list[str]:
    """Return the identifiers, a number first, of the person with most Botmaker sessions and then most sends.

    People with an identifier that is part of another person's, as `US.2` is part of `US.1|US.2`, are excluded: a text search rightly still
    finds it after the erasure.
    """
    with duckdb.connect(str(warehouse.data / "warehouse.duckdb"), read_only=True) as connection:
        found = connection.execute(
            """
            with in_ids_of_others as (
                select distinct parts.person_id
                from intermediate.int_people_identified as parts
                inner join intermediate.int_people_identified as wholes
                    on parts.person_id <> wholes.person_id and contains(wholes.identifier, parts.identifier)
            ),
            people as (
                select person_id, list(identifier order by regexp_full_match(identifier, '[0-9]{12,}') desc, identifier) as identifiers
                from intermediate.int_people_identified
                where connected_identifiers between 2 and 20 and person_id not in (select in_ids_of_others.person_id from in_ids_of_others)
                group by person_id
            )
            select identifiers
            from people
            where regexp_full_match(identifiers[1], '[0-9]{12,}')
            order by
                (select count(*) from raw.botmaker_sessions where list_contains(identifiers, coalesce(contact_id, user_id))) desc,
                (select count(*) from raw.sends where list_contains(identifiers, contact_id)) desc,
                person_id
            limit 1
            """
        ).fetchone()
    assert found is not None
    return found[0]


def test_erased_person_is_in_no_file_and_all_else_equals_duckdb(on_spark: Warehouse, on_duckdb: Warehouse, folder: Path) -> None:
    person, lake = _person_with_most_records(on_duckdb), folder / "lake"
    assert any(path.is_relative_to(lake / "raw.db") for path in files_with(lake, person, folder / "before"))
    on_duckdb.run("erase", person[0])
    sends = lake / "raw.db" / "sends" / "metadata"
    before = sends.stat().st_mtime_ns
    on_spark.kill_when(lambda: sends.stat().st_mtime_ns != before, "erase", person[0])
    assert (on_spark.data / "erasure_under_way.json").stat().st_mode & 0o777 == 0o600
    # Sends are read before the records that link these user ids to the person.
    late = ["BR.98765432101", "BR.98765432102", "BR.98765432103"]
    write_late_links(on_spark.landing, person[0], *late)
    of_duckdb = on_duckdb.dump(folder / "erased" / "duckdb", "--run")
    # The next run finishes the erasure.
    of_spark = on_spark.dump(folder / "erased" / "spark", "--run")
    assert not (on_spark.data / "erasure_under_way.json").exists()
    assert_same(on_duckdb, on_spark, of_duckdb, of_spark)
    assert files_with(lake, [*person, *late], folder / "after") == []
    assert files_with(on_spark.data, person, folder / "after_in_data") == []


@pytest.mark.parametrize("command", [("docs",)])
def test_command_without_spark_support_is_refused(on_spark: Warehouse, command: tuple[str, ...]) -> None:
    process = on_spark.start("-m", "orchestration", *command)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert len(output.strip().splitlines()) == 1
    assert "could not start" in output

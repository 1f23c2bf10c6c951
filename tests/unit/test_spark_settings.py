"""Tests of the second engine that need no Spark: its settings, the configuration of a session, and how files are distributed."""

from pathlib import Path

import pytest

from orchestration.cli.main import main
from orchestration.engines.engine import engine_of
from orchestration.engines.spark.landing import _groups
from orchestration.engines.spark.locations import local_path, location_of, pattern_of
from orchestration.engines.spark.session import session_conf
from orchestration.errors import StartsError
from orchestration.landing.erased import ErasedPeople, ErasedPerson
from orchestration.landing.listing import LandingFile
from orchestration.settings import PROJECT_ROOT, Engine, Settings, SettingsError, SparkSettings

SPARK = {"STARTS_ENGINE": "spark", "STARTS_LAKE": "/srv/lake"}


def test_duckdb_is_the_default_engine() -> None:
    assert Settings.from_environment({}).engine is Engine.DUCKDB
    # This works without the packages of Spark.
    assert type(engine_of(Settings.from_environment({}))).__name__ == "DuckDBEngine"


def test_marts_are_published_in_the_lake_and_exported_to_the_data_folder() -> None:
    settings = Settings.from_environment(SPARK | {"STARTS_DATA": "/srv/data"})
    assert settings.published_dir == Path("/srv/lake/published")
    assert settings.exports_dir == Path("/srv/data/exports")


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"STARTS_ENGINE": "sparc", "STARTS_LAKE": "/srv/lake"}, "write one of duckdb, spark"),
        ({"STARTS_ENGINE": "spark"}, "STARTS_LAKE is not set"),
        ({"STARTS_ENGINE": "spark", "STARTS_LAKE": "s3://bucket/lake"}, "mount"),
        (SPARK | {"STARTS_SPARK_CONF": "spark.executor.memory=1g;secret=hunter2"}, "names that begin with spark."),
        (SPARK | {"STARTS_SPARK_CONF": "/nowhere/spark-defaults.conf"}, "cannot be read"),
    ],
)
def test_invalid_setting_is_explained_without_its_value(environment: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError, match=words) as raised:
        Settings.from_environment(environment)
    assert "hunter2" not in str(raised.value)


def test_lake_may_be_a_file_uri() -> None:
    assert SparkSettings.from_environment({"STARTS_LAKE": "file:///srv/a%20lake"}).lake == Path("/srv/a lake")


def test_spark_conf_comes_from_pairs_or_from_a_file(tmp_path: Path) -> None:
    pairs = "spark.jars=a.jar,b.jar; spark.driver.extraJavaOptions=-Dx=1 -Dy=2"
    expected = {"spark.jars": "a.jar,b.jar", "spark.driver.extraJavaOptions": "-Dx=1 -Dy=2"}
    assert SparkSettings.from_environment(SPARK | {"STARTS_SPARK_CONF": pairs}).conf == expected
    file = tmp_path / "spark-defaults.conf"
    file.write_text("# ours\nspark.jars  a.jar,b.jar\n\nspark.driver.extraJavaOptions = -Dx=1 -Dy=2\n")
    assert SparkSettings.from_environment(SPARK | {"STARTS_SPARK_CONF": str(file)}).conf == expected


def test_example_of_a_conf_can_be_parsed() -> None:
    example = PROJECT_ROOT / "deploy" / "spark" / "spark-defaults.conf.example"
    conf = SparkSettings.from_environment(SPARK | {"STARTS_SPARK_CONF": str(example)}).conf
    assert conf["spark.executor.instances"] == "8"


def test_representation_shows_no_value_of_a_conf() -> None:
    settings = Settings.from_environment(SPARK | {"STARTS_SPARK_CONF": "spark.hadoop.fs.s3a.secret.key=hunter2"})
    assert "hunter2" not in repr(settings)


def test_configured_catalog_replaces_the_one_in_the_lake(tmp_path: Path) -> None:
    own = session_conf(SparkSettings(tmp_path / "lake"))
    assert own["spark.sql.catalog.lake.type"] == "hive"
    assert own["spark.hadoop.javax.jdo.option.ConnectionURL"].startswith("jdbc:derby:")
    conf = {"spark.sql.catalog.lake.type": "rest", "spark.sql.catalog.lake.uri": "http://localhost:8181"}
    other = session_conf(SparkSettings(tmp_path / "lake", conf=conf))
    assert other["spark.sql.catalog.lake.type"] == "rest"
    assert "spark.hadoop.javax.jdo.option.ConnectionURL" not in other


def test_spark_connect_needs_its_own_catalog(tmp_path: Path) -> None:
    with pytest.raises(StartsError, match="set an Iceberg catalog"):
        session_conf(SparkSettings(tmp_path, "sc://localhost:15002"))


def test_locations_of_paths_are_not_encoded() -> None:
    path = Path("/srv/a lake's 100%25 [x]")
    assert location_of(path) == "file:/srv/a lake's 100%25 [x]"
    assert pattern_of(path) == "file:/srv/a lake's 100%25 \\[x\\]"
    assert local_path(location_of(path)) == local_path(f"file://{path}") == str(path)


def test_files_are_distributed_evenly_and_by_size() -> None:
    files = [LandingFile(f"{number:03}", f"/{number:03}", size, "") for number, size in enumerate([1000] * 2 + [900, 800, 700, 600, 0, 0])]
    groups = _groups(files, 2)
    assert sorted(file.name for group in groups for file in group) == [file.name for file in files]
    of_size = {size: {number for number, group in enumerate(groups) for file in group if file.bytes == size} for size in (0, 1000)}
    assert {len(numbers) for numbers in of_size.values()} == {1}
    sizes = [sum(file.bytes for file in group) for group in groups]
    assert max(sizes) - min(sizes) <= 1000
    assert all([file.name for file in group] == sorted(file.name for file in group) for group in groups)


def test_identifiers_found_by_several_executors_are_merged(tmp_path: Path) -> None:
    erased = ErasedPeople(tmp_path / "erased.json", b"k", [ErasedPerson("2026-10-01", {"a"}, {"m"}), ErasedPerson("2026-10-02", {"z"})])
    there = [ErasedPeople.from_json(tmp_path / "there.json", erased.as_json()) for _ in range(2)]
    there[0].people[0].identifiers.add("b")
    there[1].people[0].messages.add("n")
    assert erased.merge([person for one in there for person in one.as_json()["people"]])
    assert (erased.people[0].identifiers, erased.people[0].messages, erased.people[1].identifiers) == ({"a", "b"}, {"m", "n"}, {"z"})
    assert not erased.merge([person for one in there for person in one.as_json()["people"]])


@pytest.mark.parametrize("command", [["erase", "5511987654321"], ["docs"], ["rebuild"], ["replay"], ["rejected"], ["export"]])
def test_command_on_a_missing_lake_ends_with_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    for name, value in {"STARTS_ENGINE": "spark", "STARTS_LAKE": str(tmp_path / "lake"), "STARTS_DATA": str(tmp_path / "data")}.items():
        monkeypatch.setenv(name, value)
    assert main(command) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert not (tmp_path / "lake").exists()


def test_engine_without_its_packages_gives_the_install_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from orchestration.engines.spark import session

    monkeypatch.setattr(session, "find_spec", lambda _: None)
    monkeypatch.setattr(session, "_session", None)
    with pytest.raises(StartsError, match="extra"):
        session.spark_session(SparkSettings(tmp_path / "lake"))

"""Tests of Dagster's home: one for each data folder, unless the operator sets one; created by one process at a time."""

import os
import sys
import threading
from pathlib import Path

import pytest
import yaml
from dagster import AssetCheckEvaluation, AssetKey, AssetMaterialization, DagsterInstance
from filelock import FileLock
from sqlalchemy import event
from sqlalchemy.pool import Pool

from orchestration.cli.main import main
from orchestration.defs.home import open_instance, prepare_home
from orchestration.errors import StartsError, operator_errors
from orchestration.settings import PROJECT_ROOT, Settings


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Return settings with a data folder whose name YAML would parse as another type; DAGSTER_HOME is not set."""
    monkeypatch.delenv("DAGSTER_HOME")
    data = tmp_path / 'a "b": #c'
    data.mkdir()
    return Settings(data=data)


def test_each_data_folder_has_its_own_runs(settings: Settings) -> None:
    home = settings.data / ".dagster"
    with open_instance(settings) as instance:
        assert instance.root_directory == str(home)
    assert (home / "storage" / "history" / "runs.db").exists()
    configuration = yaml.safe_load((home / "dagster.yaml").read_text(encoding="utf-8"))
    template = yaml.safe_load((PROJECT_ROOT / "dagster.yaml").read_text(encoding="utf-8"))
    assert configuration["storage"]["sqlite"]["base_dir"] == str(home / "storage")
    assert configuration["compute_logs"]["config"]["base_dir"] == str(home / "logs")
    assert configuration["concurrency"] == template["concurrency"]
    assert configuration["telemetry"] == {"enabled": False}


def test_failed_check_is_stored_only_for_its_data_folder(settings: Settings, tmp_path: Path) -> None:
    check = AssetCheckEvaluation(AssetKey("published_marts"), "no_feed_or_line_is_silent", passed=False, metadata={})
    other = Settings(data=tmp_path / "other")
    other.data.mkdir()
    found = {}
    with open_instance(settings) as instance:
        instance.report_runless_asset_event(check)
    for data in (settings, other):
        with open_instance(data) as instance:
            found[data.data] = instance.event_log_storage.get_latest_asset_check_execution_by_key([check.asset_check_key])
    assert set(found[settings.data]) == {check.asset_check_key}
    assert found[other.data] == {}


def test_events_share_connections_and_other_readers_see_them_at_once(settings: Settings) -> None:
    check = AssetCheckEvaluation(AssetKey("a"), "is_right", passed=True, metadata={})
    connected: list[object] = []

    def count(*connection: object) -> None:
        connected.append(connection)

    with open_instance(settings) as instance:
        instance.report_runless_asset_event(AssetMaterialization("a"))
        instance.report_runless_asset_event(check)
        event.listen(Pool, "connect", count)
        for _ in range(20):
            instance.report_runless_asset_event(AssetMaterialization("a"))
            instance.report_runless_asset_event(check)
        event.remove(Pool, "connect", count)
        with DagsterInstance.from_config(str(settings.dagster_home)) as other:
            assert len(other.fetch_materializations(AssetKey("a"), limit=100).records) == 21
    assert connected == []


def test_configuration_is_based_on_that_of_the_project(settings: Settings) -> None:
    path = prepare_home(settings) / "dagster.yaml"
    written = path.read_text(encoding="utf-8")
    path.write_text("# of an older version\n")
    assert prepare_home(settings) == path.parent
    assert path.read_text(encoding="utf-8") == written
    stamp = path.stat().st_mtime_ns
    prepare_home(settings)
    assert path.stat().st_mtime_ns == stamp
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["dagster.yaml"]


def test_configured_home_is_used_and_not_changed(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    monkeypatch.setenv("DAGSTER_HOME", str(own))
    with open_instance(settings) as instance:
        assert instance.root_directory == str(own)
    assert (own / "dagster.yaml").read_text() == "telemetry: {enabled: false}\n"
    assert not (settings.data / ".dagster").exists()


@pytest.mark.parametrize("home", ["relative", "/nowhere/to/be/found"])
def test_home_that_cannot_be_created_is_reported(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], home: str
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", home)
    with pytest.raises(StartsError, match=f"DAGSTER_HOME is {home}: write an existing folder"), open_instance(settings):
        pass


def test_invalid_configuration_is_reported(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dagster.yaml").write_text("storage: {nothing: {known: 1}}\n")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    with pytest.raises(StartsError, match=r"Correct its dagster\.yaml"), open_instance(settings):
        pass


def test_damaged_run_storage_is_reported(settings: Settings) -> None:
    with open_instance(settings):
        pass
    (settings.dagster_home / "storage" / "history" / "runs.db").write_bytes(b"no database" * 1000)
    with pytest.raises(StartsError, match="Dagster's records of runs are damaged"), operator_errors(), open_instance(settings):
        pass


def test_new_home_is_created_by_one_process_at_a_time(settings: Settings) -> None:
    """Otherwise two processes find no tables, both create them, and one fails."""
    home = prepare_home(settings)
    opened = threading.Event()

    def open_it() -> None:
        with open_instance(settings):
            opened.set()

    thread = threading.Thread(target=open_it)
    with FileLock(home / ".opening.lock"):
        thread.start()
        assert not opened.wait(1)
        assert not (home / "storage").exists()
    assert opened.wait(60)
    thread.join()


def test_commands_of_dagster_get_the_home_and_their_arguments(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cover everything up to the call that replaces this process."""
    called = []
    monkeypatch.setattr(os, "execve", lambda *call: called.append(call) or 0)
    monkeypatch.setenv("STARTS_DATA", str(settings.data))
    monkeypatch.chdir(settings.data)
    assert main(["dg", "launch", "--job", "export_on_demand"]) == 0
    ((path, arguments, environment),) = called
    assert Path(path).name == "dg"
    assert arguments[1:] == ["launch", "--job", "export_on_demand"]
    assert environment["DAGSTER_HOME"] == str(settings.dagster_home)
    # Otherwise `dg` warns that another environment is active.
    assert environment["VIRTUAL_ENV"] == sys.prefix
    assert Path.cwd() == PROJECT_ROOT

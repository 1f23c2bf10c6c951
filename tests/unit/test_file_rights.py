"""Tests of file permissions: written files name people, so only this user may read them, or its group if that is configured."""

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestration.cli.main import main
from orchestration.exports.filters import ExportSelection
from orchestration.exports.on_demand import export_selection
from orchestration.file_rights import restrict_new_files
from orchestration.settings import Settings
from orchestration.warehouse import open_warehouse, writer_lock
from tests.data.hostile_logs import write_files
from tests.pipeline import Pipeline


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    """Start with the umask of a login shell, and restore that of the process."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def rights(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(("value", "folder_rights"), [("", 0o700), ("private", 0o700), ("group", 0o750)])
def test_warehouse_is_private_and_its_folder_follows_the_file_mode(tmp_path: Path, value: str, folder_rights: int) -> None:
    restrict_new_files()
    settings = Settings.from_environment({"STARTS_DATA": str(tmp_path / "data"), "STARTS_FILE_MODE": value})
    with writer_lock(settings), open_warehouse(settings) as connection:
        connection.execute("create table t as select 1 as a")
        assert rights(settings.warehouse_path.with_name("warehouse.duckdb.wal")) == 0o600
    assert rights(settings.data) == folder_rights
    assert rights(settings.warehouse_path) == 0o600
    assert rights(settings.lock_path) == 0o600


def test_group_may_read_published_files_and_exports_but_write_nothing(warm: Callable[..., Pipeline]) -> None:
    restrict_new_files()
    run = warm(STARTS_FILE_MODE="group")
    send = b'{"message_id": "a", "sent_at": 1791000000, "channel_id": "c", "contact_id": "5511900000001", "template_name": "t"}'
    write_files(run.landing, "sends", "1.jsonl", [send])
    assert run.run().success
    export_selection(run.settings, ExportSelection())
    shared = [run.settings.published_dir, run.settings.exports_dir, run.data / ".published"]
    paths = [path for folder in shared for path in (folder, *folder.rglob("*")) if not path.is_symlink()]
    assert {rights(path) for path in paths if path.is_file()} == {0o640, 0o440}
    assert {rights(path) for path in paths if path.is_dir()} == {0o750}
    others = [path for path in run.data.iterdir() if path not in shared]
    assert {rights(path) & 0o077 for path in others if not path.is_symlink()} == {0}


@pytest.mark.parametrize("command", [[], ["rebuild"], ["compare", "nowhere.tsv"]])
def test_every_command_restricts_new_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]) -> None:
    monkeypatch.setenv("STARTS_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("STARTS_LANDING", str(tmp_path / "nowhere"))
    assert main(command) == 2
    assert os.umask(0o022) == 0o077


def test_loading_the_definitions_restricts_new_files(tmp_path: Path) -> None:
    """Cover the daemon and the web interface, which do not start through the command line."""
    source = (Path(__file__).parents[2] / "orchestration" / "definitions.py").read_text(encoding="utf-8")
    assert "\nrestrict_new_files()\n" in source


@pytest.mark.parametrize(("value", "folder_rights"), [("private", 0o700), ("group", 0o750)])
def test_permissions_left_open_by_an_older_version_are_closed(tmp_path: Path, value: str, folder_rights: int) -> None:
    settings = Settings.from_environment({"STARTS_DATA": str(tmp_path), "STARTS_FILE_MODE": value})
    with open_warehouse(settings):
        pass
    for folder in (settings.published_dir, settings.exports_dir, settings.dbt_target_dir, settings.dagster_home):
        folder.mkdir()
    tmp_path.chmod(0o755)
    with writer_lock(settings):
        pass
    assert rights(settings.warehouse_path) == 0o600
    for folder in (settings.dbt_target_dir, settings.dagster_home):
        assert rights(folder) == 0o700
    for folder in (settings.published_dir, settings.exports_dir):
        assert rights(folder) == folder_rights
    # Other programs may use this folder too.
    assert rights(tmp_path) == 0o755


def test_files_that_were_private_are_opened_to_the_group_if_the_setting_changes(tmp_path: Path) -> None:
    settings = Settings.from_environment({"STARTS_DATA": str(tmp_path / "data"), "STARTS_FILE_MODE": "group"})
    restrict_new_files()
    files = [settings.published_dir / ".versions" / "1" / "a.parquet", settings.exports_dir / "on_demand" / "b.tsv"]
    foreign = tmp_path / "foreign.tsv"
    for file in (*files, foreign):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    files[0].chmod(0o400)
    (settings.exports_dir / "link.tsv").symlink_to(foreign)
    with writer_lock(settings):
        pass
    assert [rights(file) for file in files] == [0o440, 0o640]
    assert {rights(parent) for file in files for parent in file.parents if parent.is_relative_to(settings.data)} == {0o750}
    assert rights(foreign) == 0o600

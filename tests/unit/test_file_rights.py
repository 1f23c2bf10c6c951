"""What is written names people, so that it is for this user alone, or for its group where that is set."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestration.cli.main import main
from orchestration.file_rights import restrict_new_files
from orchestration.settings import Settings
from orchestration.warehouse import open_warehouse, writer_lock


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    """Begin as a login shell does, and leave the process as it was."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def rights(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(
    ("value", "file_rights", "folder_rights"),
    [("", 0o600, 0o700), ("private", 0o600, 0o700), ("group", 0o660, 0o770), ("wrong", 0o600, 0o700)],
)
def test_new_files_are_private_unless_a_group_shares_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, file_rights: int, folder_rights: int
) -> None:
    monkeypatch.setenv("STARTS_FILE_MODE", value)
    restrict_new_files()
    settings = Settings.from_environment({"STARTS_DATA": str(tmp_path / "data"), "STARTS_FILE_MODE": value if value != "wrong" else ""})
    with writer_lock(settings), open_warehouse(settings) as connection:
        connection.execute("create table t as select 1 as a")
        assert rights(settings.warehouse_path.with_name("warehouse.duckdb.wal")) == file_rights
    assert rights(settings.data) == folder_rights
    assert rights(settings.warehouse_path) == file_rights
    assert rights(settings.lock_path) == file_rights


@pytest.mark.parametrize("command", [[], ["rebuild"], ["compare", "nowhere.tsv"]])
def test_every_command_restricts_new_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]) -> None:
    monkeypatch.setenv("STARTS_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("STARTS_LANDING", str(tmp_path / "nowhere"))
    assert main(command) == 2
    assert os.umask(0o022) == 0o077


def test_loading_the_definitions_restricts_new_files(tmp_path: Path) -> None:
    """The daemon and the web interface do not come through the command line."""
    source = (Path(__file__).parents[2] / "orchestration" / "definitions.py").read_text(encoding="utf-8")
    assert "\nrestrict_new_files()\n" in source


@pytest.mark.parametrize(("value", "file_rights", "folder_rights"), [("private", 0o600, 0o700), ("group", 0o640, 0o750)])
def test_what_an_older_version_left_open_is_closed(tmp_path: Path, value: str, file_rights: int, folder_rights: int) -> None:
    settings = Settings.from_environment({"STARTS_DATA": str(tmp_path), "STARTS_FILE_MODE": value})
    with open_warehouse(settings):
        pass
    for folder in (settings.published_dir, settings.exports_dir, settings.dbt_target_dir, settings.dagster_home):
        folder.mkdir()
    tmp_path.chmod(0o755)
    with writer_lock(settings):
        pass
    assert rights(settings.warehouse_path) == file_rights
    for folder in (settings.published_dir, settings.exports_dir, settings.dbt_target_dir, settings.dagster_home):
        assert rights(folder) == folder_rights
    # It may be a folder that others use, too.
    assert rights(tmp_path) == 0o755

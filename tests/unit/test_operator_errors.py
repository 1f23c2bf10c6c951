"""Tests that problems of the machine are reported in readable messages, and bugs of the project are not hidden by them."""

import os
import resource
import sqlite3
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from orchestration.cli.main import main
from orchestration.errors import StartsError, operator_errors
from orchestration.settings import PROJECT_ROOT, Settings
from orchestration.transactions import transaction
from orchestration.warehouse import open_warehouse, writer_lock

FULL = Path("/dev/full")


def sentence(error: Exception) -> str:
    with pytest.raises(StartsError) as raised, operator_errors():
        raise error
    return str(raised.value)


@pytest.mark.skipif(not FULL.exists(), reason="only Linux has a device that is always full")
def test_full_disk_is_reported_with_its_file(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").symlink_to(FULL)
    with pytest.raises(StartsError, match=r"No space is left on the disk of .*Free some and run again"), operator_errors():
        (tmp_path / "manifest.json").write_text("x")
    with pytest.raises(StartsError, match="No space is left on the disk of /dev/full"), operator_errors():
        duckdb.sql(f"copy (select range from range(10000)) to '{FULL}'")


def test_file_in_place_of_a_folder_is_reported(tmp_path: Path) -> None:
    (tmp_path / "published").touch()
    with pytest.raises(StartsError, match=f"Something else is in the place of {tmp_path}/published"), operator_errors():
        (tmp_path / "published").mkdir()
    with pytest.raises(StartsError, match=f"Something else is in the place of {tmp_path}/published"), operator_errors():
        (tmp_path / "published" / "parquet").mkdir()


def test_out_of_memory_is_reported_and_a_full_temporary_disk_as_a_full_disk(tmp_path: Path) -> None:
    many = "select count(*) from (select distinct md5(range::varchar) from range(3000000))"
    settings = Settings(landing=str(tmp_path), data=tmp_path)
    with pytest.raises(StartsError, match="Memory ran out"), open_warehouse(settings) as connection:
        connection.execute(f"set memory_limit = '10MB'; set threads = 1; set temp_directory = ''; {many}")
    with pytest.raises(StartsError, match="No space is left"), open_warehouse(settings) as connection:
        connection.execute(f"set memory_limit = '20MB'; set threads = 1; set max_temp_directory_size = '1MB'; {many}")
    assert "Memory ran out" in sentence(MemoryError())


LIMITED = """
import resource, sys
from orchestration.cli.main import main
from orchestration.warehouse import open_warehouse
from orchestration.settings import Settings
def limited(_):
    with open_warehouse(Settings.from_environment()) as connection:
        resource.setrlimit(getattr(resource, sys.argv[1]), (int(sys.argv[2]), resource.getrlimit(getattr(resource, sys.argv[1]))[1]))
        connection.execute("create table t as select md5(range::varchar) as h from range(1000000)")
        open(sys.argv[3], "rb").close()
import orchestration.cli.main as module
module.run_command = limited
sys.exit(main([]))
"""


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("limit", "value", "words"),
    [
        (resource.RLIMIT_FSIZE, 600_000, "would become larger than this user or this file system allows. Raise the limit (`ulimit -f`)"),
        (resource.RLIMIT_NOFILE, 3, "Too many files are open"),
    ],
)
def test_limits_of_the_user_are_reported(tmp_path: Path, limit: int, value: int, words: str) -> None:
    name = {resource.RLIMIT_FSIZE: "RLIMIT_FSIZE", resource.RLIMIT_NOFILE: "RLIMIT_NOFILE"}[limit]
    result = subprocess.run(
        [sys.executable, "-c", LIMITED, name, str(value), str(tmp_path / "warehouse.duckdb")],
        cwd=PROJECT_ROOT, env={**os.environ, "STARTS_DATA": str(tmp_path)}, capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert (result.returncode, result.stderr.count("Traceback")) == (2, 0), result.stderr
    assert words in result.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, who can drop rights: without it every file is this user's own")
def test_missing_permission_is_reported(tmp_path: Path) -> None:
    """Run as another user, because root may do everything."""
    tmp_path.chmod(0o755)
    for folder in tmp_path.parents:
        if folder.stat().st_uid == 0 and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o055)
    settings = Settings(landing=str(tmp_path), data=tmp_path)
    with open_warehouse(settings):
        pass
    settings.warehouse_path.chmod(0o600)
    os.seteuid(65534)
    try:
        with pytest.raises(StartsError, match=f"This user may not read or write {settings.warehouse_path}"), open_warehouse(settings):
            pass
        with pytest.raises(StartsError, match="cannot be written to"), writer_lock(settings):
            pass
        with pytest.raises(StartsError, match="may not read or write"), operator_errors():
            (tmp_path / "erased.jsonl").write_text("x")
    finally:
        os.seteuid(0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("fct_session_starts: Runtime Error in model fct_session_starts (models/marts/fct.sql)\n"
         '  IO Error: Could not write file "/data/warehouse.duckdb": No space left on device', "disk of /data/warehouse.duckdb"),
        ("dbt stopped: Runtime Error\n  Out of Memory Error: failed to allocate data of size 64.0 KiB", "Memory ran out"),
        ('TransactionContext Error: Failed to commit: Could not write file "/data/w.wal": Disk quota exceeded', "disk of /data/w.wal"),
        ('IO Error: Cannot open file "/data/x": Read-only file system', "mounted read-only"),
        ('IO Error: Could not read from file "/data/x": Input/output error', "fails to read or write"),
    ],
)  # fmt: skip
def test_messages_of_dbt_and_duckdb_are_recognised(text: str, words: str) -> None:
    assert words in sentence(RuntimeError(text))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("database or disk is full", "No space is left"),
        ("disk I/O error", "is full, or fails"),
        ("attempt to write a readonly database", "may not read or write"),
        ("unable to open database file", "may not read or write"),
        ("database disk image is malformed", "are damaged"),
    ],
)
def test_errors_of_the_run_storage_are_recognised(text: str, words: str) -> None:
    said = sentence(sqlite3.OperationalError(text))
    assert words in said
    assert "Dagster" in said


def test_invalid_run_storage_file_is_recognised(tmp_path: Path) -> None:
    (tmp_path / "runs.db").write_bytes(b"no database" * 1000)
    with pytest.raises(StartsError, match="Dagster's records of runs are damaged"), operator_errors():
        sqlite3.connect(tmp_path / "runs.db").execute("create table t (a)")


@pytest.mark.parametrize(
    "error",
    [
        KeyError("x"),
        FileNotFoundError(2, "No such file or directory", "a landing file that was just removed"),
        ConnectionResetError(104, "Connection reset by peer"),
        TimeoutError(110, "Connection timed out"),
        # The text of a record must not be taken for an error of the machine.
        ValueError("could not convert 'IO Error: No space left on device'"),
        duckdb.ConversionException('Conversion Error: Could not convert string "IO Error: Permission denied" to INT32'),
    ],
)
def test_other_errors_are_not_translated(error: Exception) -> None:
    with pytest.raises(type(error)) as raised, operator_errors():
        raise error
    assert raised.value is error


@pytest.mark.skipif(not FULL.exists(), reason="only Linux has a device that is always full")
def test_failed_commit_is_not_hidden_by_the_rollback(tmp_path: Path) -> None:
    path = str(tmp_path / "warehouse.duckdb")
    with duckdb.connect(path) as connection:
        connection.execute("create table t (a integer)")
    # DuckDB opens its log at the first commit.
    with duckdb.connect(path) as connection:
        (tmp_path / "warehouse.duckdb.wal").symlink_to(FULL)
        with pytest.raises(duckdb.Error, match="No space left on device"), transaction(connection):
            connection.execute("insert into t from range(10)")


def test_failed_block_is_rolled_back(tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "warehouse.duckdb")) as connection:
        connection.execute("create table t (a integer)")
        with pytest.raises(duckdb.ConversionException), transaction(connection):
            connection.execute("insert into t values (1); insert into t values ('x')")
        assert connection.execute("select count(*) from t").fetchone() == (0,)


@pytest.mark.parametrize("command", [("rebuild",), ("rebuild", "--from-landing"), ("replay",), ("erase", "5511987650001")])
def test_every_command_reports_a_blocked_lock_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    monkeypatch.setenv("STARTS_DATA", str(tmp_path))
    with open_warehouse(Settings(data=tmp_path)):
        pass
    (tmp_path / ".writer.lock").mkdir()
    assert main(command) == 2
    assert f"Something else is in the place of {tmp_path}/.writer.lock" in capsys.readouterr().err

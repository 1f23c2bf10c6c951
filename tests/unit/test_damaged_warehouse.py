"""Tests of a warehouse that is damaged, locked, or written by a newer DuckDB: the error states the cause and the remedy at once."""

import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import duckdb
import pytest

from orchestration import warehouse
from orchestration.cli.main import main
from orchestration.errors import StartsError
from orchestration.landing.migrations import prepare_raw_schema
from orchestration.settings import Settings
from orchestration.warehouse import DamagedWarehouseError, explain_warehouse_error, open_warehouse, read_warehouse
from tests.damage import DAMAGES, be_of_storage_version, damage_data

WAY_OUT = "Rebuild the warehouse from the landing zone: `python -m orchestration rebuild --from-landing`"
HOLD = "import duckdb, sys, time; held = duckdb.connect(sys.argv[1]); print('held', flush=True); time.sleep(60)"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Return the settings of a warehouse that is large enough for damage anywhere, with a landing zone of one file."""
    (tmp_path / "landing" / "sends").mkdir(parents=True)
    made = Settings(landing=str(tmp_path / "landing"), data=tmp_path / "data")
    made.data.mkdir()
    with open_warehouse(made) as connection:
        prepare_raw_schema(connection)
        connection.execute("create table filler as select range, md5(range::varchar) as h from range(50000)")
    return made


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_warehouse_is_reported_at_once(settings: Settings, damage: str) -> None:
    DAMAGES[damage](settings.warehouse_path)
    started = time.monotonic()
    with pytest.raises(DamagedWarehouseError) as raised, open_warehouse(settings):
        pass
    # Far less than the time for which opening a locked file is retried.
    assert time.monotonic() - started < 5
    assert str(raised.value).startswith(f"The warehouse {settings.warehouse_path} is damaged (")
    assert WAY_OUT in str(raised.value)
    assert "holds" not in str(raised.value)


def test_damage_found_while_reading_is_reported(settings: Settings) -> None:
    damage_data(settings.warehouse_path)
    with pytest.raises(DamagedWarehouseError, match="Corrupt database file"), open_warehouse(settings) as connection:
        connection.execute("select max(h) from filler").fetchall()


def test_damage_found_by_dbt_is_reported(settings: Settings) -> None:
    text = "fct_session_starts: Runtime Error in model fct_session_starts (models/x.sql)\n  IO Error: Corrupt database file: computed 1"
    assert isinstance(explain_warehouse_error(settings, RuntimeError(text)), DamagedWarehouseError)


def test_damage_of_another_file_is_not_reported_as_damage_of_the_warehouse(settings: Settings) -> None:
    damaged = duckdb.IOException(f'IO Error: Could not read enough bytes from file "{settings.published_database}": attempted 1')
    assert explain_warehouse_error(settings, damaged) is None


def test_warehouse_of_a_newer_duckdb_is_not_reported_as_damaged(settings: Settings) -> None:
    be_of_storage_version(settings.warehouse_path, 100)
    with pytest.raises(StartsError, match="was written by a newer version of DuckDB than") as raised, open_warehouse(settings):
        pass
    assert not isinstance(raised.value, DamagedWarehouseError)


def test_locked_warehouse_is_retried_and_then_reported(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warehouse, "_WAIT_FOR_FILE_SECONDS", 0.5)
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(settings.warehouse_path)], stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        holder.stdout.readline()
        started = time.monotonic()
        with pytest.raises(StartsError, match="Another program holds"), open_warehouse(settings):
            pass
        assert time.monotonic() - started >= 0.5
    finally:
        holder.kill()
        holder.wait()


@pytest.mark.parametrize("opened_within", [open_warehouse, read_warehouse])
def test_warehouse_stays_locked_while_it_is_opened_twice(settings: Settings, opened_within: Callable[..., Any]) -> None:
    """Check the lock because a process loses its POSIX lock as soon as it closes any descriptor of the file."""
    open_elsewhere = [sys.executable, "-c", "import duckdb, sys; duckdb.connect(sys.argv[1])", str(settings.warehouse_path)]
    with open_warehouse(settings):
        with suppress(duckdb.ConnectionException), opened_within(settings):
            pass
        assert b"Could not set lock" in subprocess.run(open_elsewhere, capture_output=True, check=False).stderr
    subprocess.run(open_elsewhere, check=True)


def test_damage_that_no_checksum_detects_is_reported(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulate a file to which two programs have written at the same time."""

    def fail(*_: Any, **__: Any) -> None:
        raise duckdb.InternalException("INTERNAL Error: Failed to load metadata pointer (id 13, idx 3)\n\nThis error signals")

    monkeypatch.setattr(duckdb, "connect", fail)
    said = pytest.raises(DamagedWarehouseError, match=r"is damaged \(INTERNAL Error: Failed to load metadata pointer")
    with said as raised, open_warehouse(settings):
        pass
    assert WAY_OUT in str(raised.value)
    assert rebuild_from_landing(settings, monkeypatch) == 0
    assert not settings.warehouse_path.exists()


def test_partially_created_warehouse_does_not_block_later_runs(tmp_path: Path) -> None:
    """Simulate a kill or a full disk while the first run creates the file."""
    settings = Settings(landing=str(tmp_path), data=tmp_path)
    (tmp_path / ".warehouse.duckdb.new").write_bytes(b"half of a header")
    # A log without its database belongs to a deleted warehouse, and must not be replayed into the new one.
    (tmp_path / "warehouse.duckdb.wal").write_bytes(b"old")
    with open_warehouse(settings) as connection:
        connection.execute("create table t as select 1 as a")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["warehouse.duckdb"]


def rebuild_from_landing(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> int:
    """Run the command without the job, which other tests run."""
    monkeypatch.setenv("STARTS_DATA", str(settings.data))
    monkeypatch.setenv("STARTS_LANDING", settings.landing)
    monkeypatch.setattr("orchestration.cli.maintain.run_command", lambda _: 0)
    return main(["rebuild", "--from-landing"])


@pytest.mark.parametrize("damage", DAMAGES)
def test_rebuild_from_landing_removes_only_the_damaged_warehouse(settings: Settings, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    DAMAGES[damage](settings.warehouse_path)
    for kept in ("erased_people.json", "exports"):
        (settings.data / kept).touch()
    assert rebuild_from_landing(settings, monkeypatch) == 0
    assert sorted(path.name for path in settings.data.iterdir() if path.name != ".writer.lock") == ["erased_people.json", "exports"]


def land(settings: Settings, *contents: bytes, name: str = "sends/1.jsonl") -> None:
    """Record that contents have landed, the last of which was listed under the name."""
    rows = [{"content_sha256": sha256(content).hexdigest(), "bytes": len(content)} for content in contents]
    with open_warehouse(settings) as connection:
        for row in rows:
            connection.execute(
                """
                insert into raw.landed_files by name
                select 'sends' as feed, $name as file_name, $content_sha256 as content_sha256, $bytes as bytes, 1 as records, 1 as landed,
                    0 as rejected, 0 as erased, 'landed' as status, now()::timestamp as landed_at, 1 as load_id, 2 as reader_version
                """,
                {"name": name, **row},
            )
        connection.execute(
            "insert into raw.landing_listing values ('sends', $name, 'version', $sha256)",
            {"name": name, "sha256": rows[-1]["content_sha256"]},
        )


def test_healthy_warehouse_with_the_only_copy_of_records_is_kept(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    land(settings, b"{}", name="sends/gone.jsonl")
    assert rebuild_from_landing(settings, monkeypatch) == 2
    said = capsys.readouterr().err
    assert "1 landed files are no longer in the landing zone, so their records would be lost: sends/gone.jsonl." in said
    with open_warehouse(settings) as connection:
        assert connection.execute("select count(*) from raw.landed_files").fetchone() == (1,)


def test_healthy_warehouse_is_kept_if_a_file_was_overwritten(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (Path(settings.landing) / "sends" / "1.jsonl").write_bytes(b'{"of": "tuesday"}')
    land(settings, b'{"of": "monday"}', b'{"of": "tuesday"}')
    assert rebuild_from_landing(settings, monkeypatch) == 2
    assert "1 landed files are no longer in the landing zone, so their records would be lost: sends/1.jsonl." in capsys.readouterr().err


@pytest.mark.parametrize("landed_as", ["sends/1.jsonl", "sends/old-name.jsonl"])
def test_healthy_warehouse_is_removed_if_the_landing_zone_has_every_content(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, landed_as: str
) -> None:
    (Path(settings.landing) / "sends" / "1.jsonl").write_bytes(b"{}{}{}")
    # The file has grown twice, the last time after it landed.
    land(settings, b"{}", b"{}{}", name=landed_as)
    assert rebuild_from_landing(settings, monkeypatch) == 0
    assert not settings.warehouse_path.exists()


def test_warehouse_of_a_newer_duckdb_is_kept(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    be_of_storage_version(settings.warehouse_path, 100)
    assert rebuild_from_landing(settings, monkeypatch) == 2
    assert settings.warehouse_path.exists()


def test_missing_landing_zone_keeps_the_warehouse(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    (Path(settings.landing) / "sends").rmdir()
    Path(settings.landing).rmdir()
    assert rebuild_from_landing(settings, monkeypatch) == 2
    assert settings.warehouse_path.exists()

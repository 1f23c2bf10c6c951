"""Tests that failures are reported, do not change what was published, and are repaired by the next run."""

import gzip
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from orchestration.cli.main import main
from orchestration.exports.daily import export_days
from orchestration.settings import PROJECT_ROOT
from orchestration.transform.lookups import SEEDS, refuse_unreadable_lookups
from orchestration.warehouse import open_warehouse
from tests.comparison import assert_equals_the_reference
from tests.data.hostile_logs import hostile_records, write_files
from tests.pipeline import Pipeline, comparable, query

GOOD_SEND = b'{"message_id": "wamid.%d", "sent_at": 1791000000, "channel_id": "c", "contact_id": "55119%d", "template_name": "t"}'
HOLD = "import duckdb, sys, time; held = duckdb.connect(sys.argv[1]); print('held', flush=True); time.sleep(60)"
OPEN = "import duckdb, sys; duckdb.connect(sys.argv[1])"
REMEDY = "Wait for it to finish and run again, or set STARTS_DATA to another folder. Nothing was changed."


def good_sends(count: int) -> list[bytes]:
    return [GOOD_SEND % (n, n) for n in range(count)]


def published_bytes(pipeline: Pipeline) -> dict[str, bytes]:
    folders = (pipeline.settings.published_dir, pipeline.settings.exports_dir)
    return {str(path): path.read_bytes() for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()}


def damage_inside(pipeline: Pipeline) -> None:
    """Overwrite published ids, like a failing disk: the file still opens, but reading the ids fails."""
    path = pipeline.settings.published_database.resolve()
    before = path.stat()
    path.chmod(0o600)
    ids = "select max(block_id) as block from pragma_storage_info('fct_notifications') where column_name = 'session_start_id'"
    block = query(path, ids)[0]["block"]
    with path.open("r+b") as file:
        # Three headers of 4 KiB and then blocks, each with a checksum that DuckDB verifies when it reads the block.
        file.seek(3 * 4096 + block * 262_144 + 1000)
        file.write(b"x" * 1000)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.fixture
def landed(made_once: Callable[[str, Callable[[Path], object]], Path], pipeline: Callable[..., Pipeline]) -> Callable[[str, int], Pipeline]:
    """Return a function that creates pipelines that have published the given number of good sends from `sends/1.jsonl`."""

    def make(name: str = "run", count: int = 30) -> Pipeline:
        def build(folder: Path) -> None:
            run = Pipeline(folder / "landing", folder / "data", {})
            write_files(run.landing, "sends", "1.jsonl", good_sends(count))
            assert run.run().success

        made = pipeline(name)
        shutil.copytree(made_once(f"{count}_good_sends", build), made.data.parent, symlinks=True, dirs_exist_ok=True)
        return made

    return make


@pytest.mark.thorough
@pytest.mark.parametrize("first_run", ["increment", "first build"])
def test_run_still_locks_the_warehouse_in_its_last_step(
    landed: Callable[..., Pipeline], pipeline: Callable[..., Pipeline], monkeypatch: pytest.MonkeyPatch, first_run: str
) -> None:
    """Check the lock because a process loses its POSIX lock as soon as it closes any descriptor of the file."""
    run = landed() if first_run == "increment" else pipeline()
    said: list[str] = []

    def try_to_open(*arguments: Any, **more: Any) -> Any:
        other = subprocess.run([sys.executable, "-c", OPEN, str(run.settings.warehouse_path)], capture_output=True, text=True, check=False)
        said.append(other.stderr)
        return export_days(*arguments, **more)

    monkeypatch.setattr("orchestration.engines.duckdb.export_days", try_to_open)
    write_files(run.landing, "sends", "2.jsonl", [GOOD_SEND % (50, 50)])
    assert run.run().success
    (message,) = said
    assert "Could not set lock on file" in message


def test_empty_landing_zone_publishes_empty_marts(empty_build: Path) -> None:
    run = Pipeline(empty_build.parent / "landing", empty_build, {})
    assert run.rows("fct_session_starts") == []
    assert run.tsv_bytes() == {}


@pytest.mark.thorough
def test_concurrent_run_changes_nothing(landed: Callable[..., Pipeline]) -> None:
    run = landed()
    before = published_bytes(run)
    write_files(run.landing, "sends", "2.jsonl", good_sends(9))
    with FileLock(run.settings.lock_path):
        result = run.command()
    assert result.returncode == 4
    assert result.stderr.endswith(f"\nconversation_starts failed: Another run is writing to {run.data}. {REMEDY}\n")
    assert result.stderr.count("Another run") == 1
    assert "Stack Trace" not in result.stderr
    assert published_bytes(run) == before


@pytest.mark.thorough
def test_unexpected_error_shows_its_traceback_once(
    pipeline: Callable[..., Pipeline], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    run = pipeline()
    for name, value in (("STARTS_LANDING", run.landing), ("STARTS_DATA", run.data), ("DAGSTER_HOME", tmp_path)):
        monkeypatch.setenv(name, str(value))

    def surprise(*_: object) -> None:
        raise RuntimeError("the moon is full")

    monkeypatch.setattr("orchestration.defs.resources.writer_lock", surprise)
    # The error is in the step that reads the landing zone.
    assert main([]) == 5
    said = capfd.readouterr().err
    assert said.count("in surprise") == 1
    assert said.endswith("conversation_starts failed: RuntimeError: the moon is full\n")


def test_nothing_new_changes_no_byte(landed: Callable[..., Pipeline]) -> None:
    run = landed()
    before = published_bytes(run)
    # The same content under another name is also nothing new.
    write_files(run.landing, "sends", "copy-of-1.jsonl", good_sends(30))
    assert run.run().success
    assert published_bytes(run) == before


@pytest.mark.thorough
def test_new_day_leaves_the_files_of_other_days_unchanged(landed: Callable[..., Pipeline]) -> None:
    run = landed()
    (old_file,) = run.settings.exports_dir.glob("*.tsv")
    old_stamp = old_file.stat().st_mtime_ns
    write_files(
        run.landing, "sends", "2.jsonl", [line.replace(b"1791000000", b"1791259200").replace(b"wamid.", b"next.") for line in good_sends(3)]
    )
    assert run.run().success
    assert len(run.tsv_bytes()) == 2
    assert old_file.stat().st_mtime_ns == old_stamp


@pytest.mark.thorough
def test_recreated_warehouse_replaces_all_published_rows(landed: Callable[..., Pipeline]) -> None:
    run = landed()
    (run.landing / "sends" / "1.jsonl").unlink()
    write_files(run.landing, "sends", "2.jsonl", good_sends(1))
    run.settings.warehouse_path.unlink()
    assert run.run().success
    assert len(run.rows("fct_notifications")) == 1
    assert next(iter(run.tsv_bytes().values())).count(b"\n") == 2


@pytest.mark.thorough
def test_too_many_rejected_records_block_publication_until_the_file_is_corrected(landed: Callable[..., Pipeline]) -> None:
    run = landed()
    before = published_bytes(run)
    bad = write_files(run.landing, "sends", "2.jsonl", [*[GOOD_SEND % (n, n) for n in range(50, 60)], b"garbage"])
    first, again = run.command(), run.command()
    for result in (first, again):
        assert result.returncode == 3
        assert "1 of 11 new records were rejected (9.1%, the limit is 5.0%)" in result.stderr
        assert "sends/2.jsonl" in result.stderr
        assert "Stack Trace" not in result.stderr
    assert published_bytes(run) == before

    bad.unlink()
    assert run.run().success
    assert len(run.rows("fct_notifications")) == 40


@pytest.mark.thorough
def test_lookup_that_cannot_be_read_blocks_the_build(
    landed: Callable[..., Pipeline], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = landed()
    before = published_bytes(run)
    seeds = Path(shutil.copytree(SEEDS, tmp_path / "seeds"))
    channels = seeds / "channels.csv"
    channels.write_text(channels.read_text() + "1,2\n")
    line = len(channels.read_text().splitlines())
    monkeypatch.setattr("orchestration.defs.assets.dbt.refuse_unreadable_lookups", partial(refuse_unreadable_lookups, seeds))
    write_files(run.landing, "sends", "2.jsonl", [GOOD_SEND % (50, 50)])
    result = run.command()
    assert result.returncode == 3
    assert f"{channels}, line {line}: 2 values, but line 1 has 4 columns." in result.stderr
    assert "Stack Trace" not in result.stderr
    assert published_bytes(run) == before


@pytest.mark.thorough
def test_changed_file_is_checked_by_its_current_content(warm: Callable[..., Pipeline]) -> None:
    run = warm()
    for bad in (b"garbage", b"other garbage"):
        write_files(run.landing, "sends", "1.jsonl", [*good_sends(30), bad])
        assert run.run().success
    ledger = run.rows("raw.landed_files", published=False)
    assert [(row["records"], row["rejected"]) for row in ledger] == [(31, 1), (31, 1)]


@pytest.mark.thorough
def test_published_file_with_internal_damage_is_rewritten(landed: Callable[..., Pipeline]) -> None:
    run, untouched = landed("damaged", 3000), landed("untouched", 3000)
    damage_inside(run)
    # Records of another day, so that the damaged rows would be kept unchanged.
    next_day = [line.replace(b"wamid.", b"next.").replace(b"1791000000", b"1791259200") for line in good_sends(3)]
    for each in (run, untouched):
        write_files(each.landing, "sends", "2.jsonl", next_day)
        assert each.run().success
    for mart in ("fct_session_starts", "fct_notifications", "funnel_session_starts"):
        assert comparable(run.rows(mart)) == comparable(untouched.rows(mart))
    assert run.tsv_bytes() == untouched.tsv_bytes()


@pytest.mark.thorough
def test_export_of_a_damaged_published_file_reports_what_to_do(landed: Callable[..., Pipeline]) -> None:
    run = landed(count=3000)
    damage_inside(run)
    for tsv in run.settings.exports_dir.glob("*.tsv"):
        tsv.unlink()
    result = run.command()
    assert result.returncode == 1
    assert "conversation_starts.duckdb is damaged" in result.stderr
    assert "Delete it and run the job again" in result.stderr
    run.settings.published_database.unlink()
    assert run.command().returncode == 0
    assert len(run.tsv_bytes()) == 1


@pytest.mark.thorough
def test_damaged_archive_is_set_aside_and_lands_when_it_is_whole(warm: Callable[..., Pipeline]) -> None:
    run = warm()
    whole = gzip.compress(b"\n".join(good_sends(500)))
    folder = run.landing / "sends"
    folder.mkdir()
    write_files(run.landing, "sends", "0.jsonl", good_sends(2))
    (folder / "1.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    assert run.run().success
    ledger = {row["file_name"]: row for row in run.rows("raw.landed_files", published=False)}
    assert ledger["sends/1.jsonl.gz"]["status"] == "set_aside"
    assert "cut short" in ledger["sends/1.jsonl.gz"]["reason"]
    assert len(run.rows("fct_notifications")) == 2

    (folder / "1.jsonl.gz").write_bytes(whole)
    assert run.run().success
    assert len(run.rows("fct_notifications")) == 500


def test_failed_check_blocks_publication(landed: Callable[..., Pipeline]) -> None:
    run = landed()
    before = published_bytes(run)
    # No file can cause this, so the test inserts the row directly: two starts with one key.
    with open_warehouse(run.settings) as connection:
        connection.execute("insert into marts.fct_notifications from marts.fct_notifications where message_id = 'wamid.1'")
    write_files(run.landing, "sends", "2.jsonl", [GOOD_SEND % (99, 99)])
    result = run.command()
    assert result.returncode == 3
    assert "Values of `message_id` in fct_notifications that occur in several rows: 1" in result.stderr
    assert "unique_fct_notifications_message_id" in result.stderr
    assert published_bytes(run) == before


def add_half(run: Pipeline, number: int) -> None:
    """Add the first or the second half of the hostile logs to the landing zone."""
    sends, webhooks = hostile_records(7)
    write_files(run.landing, "sends", f"{number}.jsonl", sends[number - 1 :: 2])
    write_files(run.landing, "webhooks", f"{number}.jsonl", webhooks[number - 1 :: 2])


@pytest.fixture
def half_way(made_once: Callable[[str, Callable[[Path], object]], Path], pipeline: Callable[..., Pipeline]) -> Pipeline:
    """Return a pipeline that has published the first half, with the second half in the landing zone."""

    def build(folder: Path) -> None:
        run = Pipeline(folder / "landing", folder / "data", {"STARTS_MAX_REJECTED_SHARE": "1"})
        add_half(run, 1)
        assert run.run().success

    made = pipeline(STARTS_MAX_REJECTED_SHARE="1")
    shutil.copytree(made_once("first_half", build), made.data.parent, symlinks=True, dirs_exist_ok=True)
    add_half(made, 2)
    return made


@pytest.mark.thorough
@pytest.mark.parametrize("moment", ["models", "published_marts - Published", "sends:", "land_webhooks - webhooks:"])
def test_killed_run_is_repaired_by_the_next(half_way: Pipeline, moment: str) -> None:
    assert end_at(half_way, moment, signal.SIGKILL) == -signal.SIGKILL
    assert half_way.run().success
    assert_equals_the_reference(half_way)


@pytest.mark.thorough
def test_interrupted_run_stops_and_the_next_does_its_work(half_way: Pipeline) -> None:
    assert end_at(half_way, "models", signal.SIGINT) == 130
    assert half_way.run().success
    assert_equals_the_reference(half_way)


def end_at(pipeline: Pipeline, moment: str, with_signal: signal.Signals) -> int:
    """Start the job and end it as soon as its log contains `moment`, or dbt is in the middle of the models; return its exit code."""
    dbt = pipeline.settings.dbt_target_dir
    shutil.rmtree(dbt)
    process = subprocess.Popen(
        [sys.executable, "-m", "orchestration", "--verbose"],
        cwd=PROJECT_ROOT,
        env={**os.environ, **pipeline.variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if moment in line or (moment == "models" and "webhooks:" in line):
            break
    while moment == "models" and process.poll() is None and len(list(dbt.rglob("run/**/*.sql"))) < 12:
        time.sleep(0.02)
    process.send_signal(with_signal)
    # The process keeps writing, and must not block on a full pipe.
    process.communicate(timeout=120)
    return process.returncode

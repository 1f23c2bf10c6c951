"""Tests that a run on a full disk reports it once and leaves what was published, and that the next run continues."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestration.maintenance.erasure import files_containing
from tests.pipeline import Pipeline, comparable

SEND = '{"message_id": "wamid.%d", "sent_at": 1791000000, "channel_id": "c", "contact_id": "55119%08d", "template_name": "t"}\n'
BEFORE, AFTER = 300, 9000


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of 60 MB in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=60m", "tmpfs", str(folder)], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("full disks (run as a user who may mount a file system, such as root)")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def published(made_once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """Return a folder with a landing zone and the data folder of its finished run."""

    def build(folder: Path) -> None:
        (folder / "landing" / "sends").mkdir(parents=True)
        (folder / "landing" / "sends" / "1.jsonl").write_text("".join(SEND % (number, number) for number in range(BEFORE)))
        assert Pipeline(folder / "landing", folder / "data", {}).run().success

    return made_once("three_hundred_sends", build)


def fill(disk: Path, *, but_bytes: int) -> Path:
    filler = disk / "filler"
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free - but_bytes)
    return filler


# The disk fills up in the lock of the run, in landing, in the models or in publication.
@pytest.mark.thorough
@pytest.mark.parametrize("but_bytes", [4096, 100_000, 1_500_000, 2_500_000])
def test_full_disk_is_reported_once_and_the_next_run_continues(small_disk: Path, published: Path, but_bytes: int) -> None:
    for name in ("landing", "data"):
        shutil.copytree(published / name, small_disk / name, symlinks=True)
    run = Pipeline(small_disk / "landing", small_disk / "data", {})
    marts, tsvs = comparable(run.rows("fct_session_starts")), run.tsv_bytes()
    (run.landing / "sends" / "2.jsonl").write_text("".join(SEND % (number, number) for number in range(BEFORE, AFTER)))

    filler = fill(small_disk, but_bytes=but_bytes)
    failed = run.command()
    assert failed.returncode in (1, 2), failed.stderr
    assert "No space is left on the disk of " in failed.stderr
    assert (failed.stderr.count("No space"), failed.stderr.count("Traceback")) == (1, 0)
    assert (comparable(run.rows("fct_session_starts")), run.tsv_bytes()) == (marts, tsvs)

    filler.unlink()
    assert run.command().returncode == 0
    assert len(run.rows("fct_session_starts")) == AFTER


@pytest.mark.thorough
@pytest.mark.parametrize("but_bytes", [100_000, 1_500_000])
def test_erasure_on_a_full_disk_changes_nothing_and_leaves_no_draft(small_disk: Path, published: Path, but_bytes: int) -> None:
    for name in ("landing", "data"):
        shutil.copytree(published / name, small_disk / name, symlinks=True)
    run = Pipeline(small_disk / "landing", small_disk / "data", {})
    person = "5511900000007"
    marts, sends = (
        comparable(run.rows(table, published=is_mart)) for table, is_mart in (("fct_session_starts", True), ("raw.sends", False))
    )

    filler = fill(small_disk, but_bytes=but_bytes)
    failed = run.command("erase", person)
    assert failed.returncode in (1, 2), failed.stderr
    assert "No space is left on the disk of " in failed.stderr
    assert (failed.stderr.count("No space"), failed.stderr.count("Traceback")) == (1, 0)
    assert comparable(run.rows("fct_session_starts")) == marts
    assert not list(run.data.glob(".warehouse.duckdb*"))

    filler.unlink()
    kept = comparable(run.rows("raw.sends", published=False))
    assert kept == sends or len(kept) == BEFORE - 1
    again = run.command("erase", person)
    assert again.returncode == 0, again.stderr
    assert len(run.rows("fct_session_starts")) == BEFORE - 1
    assert files_containing(run.data, [person]) == []

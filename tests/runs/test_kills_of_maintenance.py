"""Tests of operator commands that are killed before any of their changes: the same command, or a run in between, completes them.

`test_kills_of_runs.py` kills the job; these commands do something before the job.
"""

import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestration.maintenance.erasure import files_containing
from orchestration.settings import PROJECT_ROOT
from tests.data.hostile_logs import hostile_records, write_files
from tests.kills import environment_of, left_over, read_database, state_of
from tests.pipeline import Pipeline, query

# To test all changes: STARTS_TEST_MAINTENANCE_KILLS=99.
KILLS = int(os.environ.get("STARTS_TEST_MAINTENANCE_KILLS", "1"))
SEED = 20261127
ENVIRONMENT = {"STARTS_MAX_REJECTED_SHARE": "1"}


@pytest.fixture
def published(made_once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """Return a folder with a landing zone of hostile logs and the data folder of its finished run."""

    def build(folder: Path) -> None:
        sends, webhooks = hostile_records(SEED)
        write_files(folder / "landing", "sends", "1.jsonl", sends)
        write_files(folder / "landing", "webhooks", "1.jsonl", webhooks)
        assert Pipeline(folder / "landing", folder / "data", ENVIRONMENT).run().success

    return made_once("published_hostile_logs", build)


@pytest.fixture
def without_a_person(made_once: Callable[[str, Callable[[Path], object]], Path], published: Path) -> Path:
    """Return a copy from which the person of `person_of` was erased."""

    def build(folder: Path) -> None:
        run = copy_of(published, folder)
        assert run.command("erase", person_of(published)).returncode == 0

    return made_once("hostile_logs_without_a_person", build)


def copy_of(folder: Path, to: Path) -> Pipeline:
    shutil.copytree(folder, to, symlinks=True, dirs_exist_ok=True)
    return Pipeline(to / "landing", to / "data", ENVIRONMENT)


def person_of(published: Path) -> str:
    """Return the contact with the most sends."""
    sql = """
        select contact_id
        from fct_notifications
        where contact_id similar to '[0-9]{8,}'
        group by all
        order by count(*) desc, contact_id
        limit 1
    """
    rows = query(Pipeline(published / "landing", published / "data", ENVIRONMENT).settings.published_database, sql)
    return rows[0]["contact_id"]


def killed_at(run: Pipeline, change: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command that is killed before the given change, or not at all for 0."""
    return subprocess.run(
        [sys.executable, "-m", "tests.killed_at", str(change), str(run.data), *arguments],
        cwd=PROJECT_ROOT,
        env=environment_of(run),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.thorough
@pytest.mark.parametrize("arguments", [("erase", "PERSON"), ("erase", "PERSON", "--revoke"), ("replay",), ("rebuild", "--from-landing")])
def test_killed_command_is_completed_by_the_same_command(
    published: Path, without_a_person: Path, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    person = person_of(published)
    command = [person if argument == "PERSON" else argument for argument in arguments]
    base = without_a_person if "--revoke" in command else published
    undisturbed = copy_of(base, tmp_path / "undisturbed")
    before = read_database(undisturbed.settings)
    done = killed_at(undisturbed, 0, *command)
    assert done.returncode == 0, done.stderr
    # The visible effect of `--revoke` follows with the next run.
    assert undisturbed.run().success
    after = state_of(undisturbed)
    assert (after["database"] != before) == (command[0] == "erase"), done.stdout
    counted = re.search(r"^(\d+) changes$", done.stdout, re.MULTILINE)
    assert counted is not None
    assert int(counted[1]) > 0

    rnd = random.Random(SEED)
    changes = range(1, int(counted[1]) + 1)
    for change in sorted(rnd.sample(changes, min(KILLS, len(changes)))):
        run = copy_of(base, tmp_path / str(change))
        killed = killed_at(run, change, *command)
        assert killed.returncode < 0, killed.stderr
        assert read_database(run.settings) == before, change
        if change % 2:
            assert run.run().success, change
            assert read_database(run.settings) in (before, after["database"]), change
        again = run.command(*command)
        assert again.returncode == 0, again.stderr
        assert run.run().success
        assert state_of(run) == after, change
        assert left_over(run.data) == [], change
        if command == ["erase", person]:
            assert files_containing(run.data, [person]) == [], change

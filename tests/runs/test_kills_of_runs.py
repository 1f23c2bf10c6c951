"""Tests of whole runs that are killed at any moment, with concurrent readers: no mixed state, no lost record, no permanent failure.

Each round adds files to the landing zone, kills a run somewhere, and lets one more run finish. An undisturbed run in another data folder
produces the state that this one must reach, so whatever a reader sees must be one of the states known by then.
"""

import json
import os
import random
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.data.hostile_logs import hostile_records, write_files
from tests.kills import READS, end_somewhere, left_over, read_database, read_parquet, started, state_of, steps_of
from tests.pipeline import Pipeline
from tests.readers import readers

# For more and other kills: STARTS_TEST_RUN_KILLS=40 STARTS_TEST_RUN_SEED=7.
KILLS = int(os.environ.get("STARTS_TEST_RUN_KILLS", "2"))
SEED = int(os.environ.get("STARTS_TEST_RUN_SEED", "20261126"))

ENVIRONMENT = {"STARTS_MAX_REJECTED_SHARE": "1"}


@pytest.fixture
def landed(made_once: Callable[[str, Callable[[Path], object]], Path], tmp_path: Path) -> tuple[Pipeline, list[float]]:
    """Return a pipeline whose first run has published, and the durations of the steps of a run."""

    def build(folder: Path) -> None:
        run = Pipeline(folder / "landing", folder / "data", ENVIRONMENT)
        add_files(run.landing, 0)
        assert steps_of(started(run))
        add_files(run.landing, 1)
        (folder / "steps.json").write_text(json.dumps(steps_of(started(run))))

    shutil.copytree(made_once("two_rounds", build), tmp_path / "run", symlinks=True)
    steps = json.loads((tmp_path / "run" / "steps.json").read_text())
    return Pipeline(tmp_path / "run" / "landing", tmp_path / "run" / "data", ENVIRONMENT), steps


def add_files(landing: Path, number: int) -> None:
    """Add one round's part of the hostile logs to the landing zone."""
    sends, webhooks = hostile_records(SEED)
    parts = KILLS + 2
    write_files(landing, "sends", f"{number}.jsonl", sends[number::parts])
    write_files(landing, "webhooks", f"{number}.jsonl", webhooks[number::parts])


@pytest.mark.thorough
def test_killed_run_shows_no_mixed_state_and_loses_no_record(landed: tuple[Pipeline, list[float]], tmp_path: Path) -> None:
    run, steps = landed
    shutil.copytree(run.data.parent, tmp_path / "undisturbed", symlinks=True)
    undisturbed = Pipeline(run.landing, tmp_path / "undisturbed" / "data", ENVIRONMENT)
    rnd = random.Random(SEED)
    states = [state_of(run)]
    with readers({name: partial(read, run.settings) for name, read in READS.items()}) as threads:
        for number in range(2, KILLS + 2):
            add_files(run.landing, number)
            assert undisturbed.run().success
            states.append(state_of(undisturbed))
            how = end_somewhere(started(run), steps, rnd)
            print(number, how)
            assert (between := read_database(run.settings)) in [state["database"] for state in states[-2:]], how
            assert read_parquet(run.settings) == next(state["parquet"] for state in states[-2:] if state["database"] == between), how
            assert steps_of(started(run)), how
            assert state_of(run) == states[-1], how
    for name, thread in threads.items():
        assert thread.errors == []
        known = [state[name] for state in states]
        seen = [known.index(state) for state in thread.seen]
        assert len(seen) > 1
        assert seen == sorted(seen), f"a reader of the {name} went back to an earlier state"
    assert left_over(run.data) == []

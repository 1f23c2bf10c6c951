"""Whole runs that are ended at any moment, with readers all the while: no mixed state, no record lost, no run that stays broken.

Each round puts more files into the landing zone, ends a run somewhere, and lets one more run finish. Beside it, a run that nothing
disturbs makes the state that this one has to reach, so whatever a reader sees must be one of the states known by then.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import duckdb
import pytest

from orchestration.errors import ExitCode
from orchestration.files import quoted
from orchestration.publication.marts import PUBLISHED_MARTS
from orchestration.settings import PROJECT_ROOT, Settings
from tests.data.hostile_logs import hostile_records, write_files
from tests.pipeline import Pipeline
from tests.readers import NotYetError, read_listed, readers

# More of them, and others: STARTS_TEST_RUN_KILLS=40 STARTS_TEST_RUN_SEED=7.
KILLS = int(os.environ.get("STARTS_TEST_RUN_KILLS", "3"))
SEED = int(os.environ.get("STARTS_TEST_RUN_SEED", "20261126"))

# Most ends leave no time to clean up, as a power cut, a killed container and the system's killer of processes do.
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
ENVIRONMENT = {"STARTS_MAX_REJECTED_SHARE": "1"}

State = tuple[str, ...]


def content_of(connection: duckdb.DuckDBPyConnection, relations: dict[str, str]) -> State:
    """Return a text for each mart that depends on all its rows and not on their order."""
    found = []
    for mart, relation in relations.items():
        names = ", ".join(name for (name, *_) in connection.execute(f"describe from {relation}").fetchall())
        row = connection.execute(f"select count(*), coalesce(sum(hash({names})::hugeint), 0) from {relation}").fetchone()
        assert row is not None
        found.append(f"{mart}: {row[0]} rows, {row[1]}")
    return tuple(found)


def read_database(settings: Settings) -> State:
    """Read the marts through the link of the published file."""
    with duckdb.connect(str(settings.published_database), read_only=True) as connection:
        return content_of(connection, {mart.name: mart.name for mart in PUBLISHED_MARTS})


def read_parquet(settings: Settings) -> State:
    """Read the Parquet files, as who resolves the link once."""
    folder = (settings.published_dir / "parquet").resolve()
    relations = {mart.name: f"read_parquet({quoted(folder / mart.name / '*.parquet')})" for mart in PUBLISHED_MARTS}
    try:
        with duckdb.connect() as connection:
            return content_of(connection, relations)
    except duckdb.IOException:
        if folder.exists() and folder == (settings.published_dir / "parquet").resolve():
            raise
        raise NotYetError from None


def read_tsvs(settings: Settings) -> State:
    """Read the daily files that the manifest says belong together."""
    manifest, _ = read_listed(settings)
    return tuple(f"{entry['file']}: {entry['sha256']}" for entry in manifest["files"])


READS: dict[str, Callable[[Settings], State]] = {"database": read_database, "parquet": read_parquet, "tsvs": read_tsvs}


def started(run: Pipeline) -> subprocess.Popen[str]:
    """Start the job as an operator does, with Dagster's home in the data folder."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("DAGSTER_HOME", "STARTS_TEST_"))}
    return subprocess.Popen(
        [sys.executable, "-m", "orchestration"],
        cwd=PROJECT_ROOT,
        env={**environment, **run.variables},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def steps_of(process: subprocess.Popen[str]) -> list[float]:
    """Wait for a run, and return the seconds at which it said something, and at which it ended."""
    assert process.stderr is not None
    begin, said = time.monotonic(), []
    for _ in process.stderr:
        said.append(time.monotonic() - begin)
    assert process.wait() == 0
    return [*said, time.monotonic() - begin]


def end_somewhere(run: Pipeline, steps: list[float], rnd: random.Random) -> str:
    """Start a run and end it within one of its steps, each of which is as likely as another; return how."""
    process = started(run)
    assert process.stderr is not None
    step, with_signal = rnd.randrange(len(steps)), rnd.choice(SIGNALS)
    said = [line for line in (process.stderr.readline() for _ in range(step)) if line]
    time.sleep(rnd.uniform(0, steps[step] - ([0.0, *steps])[step]))
    process.send_signal(with_signal)
    said += process.communicate()[1].splitlines(keepends=True)
    # Within a step, Dagster takes a request to terminate for an interruption; a run may also have ended before.
    ends = {0, -with_signal} if with_signal is signal.SIGKILL else {0, ExitCode.INTERRUPTED, -with_signal}
    assert process.returncode in ends, "".join(said)
    assert "Traceback" not in "".join(said), "".join(said)
    return f"{with_signal.name} after {step} lines, as {process.returncode}: {''.join(said[-2:])}"


@pytest.fixture
def landed(made_once: Callable[[str, Callable[[Path], object]], Path], tmp_path: Path) -> tuple[Pipeline, list[float]]:
    """A data folder whose first run has published, and how long the steps of a run take."""

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
    """Put one round's part of the hostile logs there."""
    sends, webhooks = hostile_records(SEED)
    parts = KILLS + 2
    write_files(landing, "sends", f"{number}.jsonl", sends[number::parts])
    write_files(landing, "webhooks", f"{number}.jsonl", webhooks[number::parts])


def state_of(run: Pipeline) -> dict[str, State]:
    return {name: read(run.settings) for name, read in READS.items()}


@pytest.mark.thorough
def test_no_run_that_is_ended_shows_a_mix_or_loses_a_record(landed: tuple[Pipeline, list[float]], tmp_path: Path) -> None:
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
            how = end_somewhere(run, steps, rnd)
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
    left_over = [path for path in run.data.rglob("*") if "draft" in path.name or "journal" in path.name]
    assert left_over == []

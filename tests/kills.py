"""Commands that are ended at some moment, and what readers see meanwhile. Used by the tests of kills in `tests/runs`."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import duckdb

from orchestration.errors import ExitCode
from orchestration.files import quoted
from orchestration.publication.marts import PUBLISHED_MARTS
from orchestration.settings import PROJECT_ROOT, Settings
from tests.pipeline import Pipeline
from tests.readers import NotYetError, read_listed

# Most of these signals leave no time to clean up, like a power cut, a killed container or the OOM killer.
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)

State = tuple[str, ...]


def content_of(connection: duckdb.DuckDBPyConnection, relations: dict[str, str]) -> State:
    """Return a text for each mart that depends on all of its rows but not on their order."""
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
    """Read the Parquet files like a reader that resolves the link once."""
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
    """Read the daily files that belong together according to the manifest."""
    manifest, _ = read_listed(settings)
    return tuple(f"{entry['file']}: {entry['sha256']}" for entry in manifest["files"])


READS: dict[str, Callable[[Settings], State]] = {"database": read_database, "parquet": read_parquet, "tsvs": read_tsvs}


def state_of(run: Pipeline) -> dict[str, State]:
    return {name: read(run.settings) for name, read in READS.items()}


def environment_of(run: Pipeline) -> dict[str, str]:
    """Return an operator's environment, with Dagster's home in the data folder."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DAGSTER_HOME", "STARTS_TEST_"))}
    return kept | run.variables


def started(run: Pipeline, *arguments: str) -> subprocess.Popen[str]:
    """Start a command, or the job, as an operator does."""
    return subprocess.Popen(
        [sys.executable, "-m", "orchestration", *arguments],
        cwd=PROJECT_ROOT,
        env=environment_of(run),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def steps_of(process: subprocess.Popen[str]) -> list[float]:
    """Wait for a command, and return the seconds at which it printed a line and at which it ended."""
    assert process.stderr is not None
    begin, said = time.monotonic(), []
    lines = []
    for line in process.stderr:
        said.append(time.monotonic() - begin)
        lines.append(line)
    assert process.wait() == 0, "".join(lines)
    return [*said, time.monotonic() - begin]


def end_somewhere(process: subprocess.Popen[str], steps: list[float], rnd: random.Random) -> str:
    """End a command within one of its steps, chosen with equal probability; return how."""
    assert process.stderr is not None
    step, with_signal = rnd.randrange(len(steps)), rnd.choice(SIGNALS)
    said = [line for line in (process.stderr.readline() for _ in range(step)) if line]
    time.sleep(rnd.uniform(0, steps[step] - ([0.0, *steps])[step]))
    process.send_signal(with_signal)
    said += process.communicate()[1].splitlines(keepends=True)
    # Within a step, Dagster treats a termination request as an interruption; the command may also have ended before.
    ends = {0, -with_signal} if with_signal is signal.SIGKILL else {0, ExitCode.INTERRUPTED, -with_signal}
    assert process.returncode in ends, "".join(said)
    assert "Traceback" not in "".join(said), "".join(said)
    return f"{with_signal.name} after {step} lines, as {process.returncode}: {''.join(said[-2:])}"


def left_over(data: Path) -> list[Path]:
    """Return the files that an ended command left in a data folder."""
    return [path for path in data.rglob("*") if "draft" in path.name or "journal" in path.name]

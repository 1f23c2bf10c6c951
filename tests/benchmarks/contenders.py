"""The contenders of the benchmark.

Each runs in a separate process (`compare.py`) and returns the times of its steps, without start-up and imports.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
USUAL_STACK = Path(__file__).parent / "usual_stack"
# The file to which each contender writes its TSV, in its folder.
TSV = "session_starts.tsv"


@dataclass
class Steps:
    """The seconds of consecutive steps, and their total CPU seconds, which do not depend on other processes."""

    seconds: dict[str, float] = field(default_factory=dict)
    cpu_seconds: float = 0.0

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        started, cpu_started = time.perf_counter(), time.process_time()
        yield
        self.seconds[name] = time.perf_counter() - started
        self.cpu_seconds += time.process_time() - cpu_started


def run_job(landing: Path, folder: Path) -> Steps:
    """Run the job on `landing`, with its data in `folder`."""
    os.environ |= job_environment(landing, folder)
    # Imports count as start-up, as for the other contenders. Otherwise dbt is imported on its first run, and pandas when DuckDB binds a
    # value.
    import dbt.adapters.duckdb
    import dbt.cli.main  # noqa: F401
    import pandas  # noqa: F401
    from dagster import DagsterEventType

    from orchestration.definitions import defs

    steps = Steps()
    with steps.step("job"):
        result = defs.resolve_job_def("conversation_starts").execute_in_process(
            run_config={"loggers": {"console": {"config": {"log_level": "ERROR"}}}}
        )
    steps.seconds = {
        event.step_key or "": event.step_success_data.duration_ms / 1000
        for event in result.all_events
        if event.event_type is DagsterEventType.STEP_SUCCESS
    }
    return steps


def job_environment(landing: Path, folder: Path) -> dict[str, str]:
    return {"STARTS_LANDING": str(landing), "STARTS_DATA": str(folder / "data")}


def run_floor(landing: Path, folder: Path) -> Steps:
    """Run the hand-written script in DuckDB."""
    import duckdb

    script = (Path(__file__).parent / "floor.sql").read_text(encoding="utf-8")
    steps = Steps()
    with duckdb.connect() as connection, steps.step("script"):
        connection.execute(script.format(sends=landing / "sends/*.zst", webhooks=landing / "webhooks/*.zst", tsv=folder / TSV))
    return steps


def run_pandas(landing: Path, folder: Path) -> Steps:
    """Run the analyst's pandas script."""
    from tests.benchmarks.pandas_report import main as report

    steps = Steps()
    with steps.step("script"):
        report(landing, folder / TSV)
    return steps


def run_usual_stack(landing: Path, folder: Path) -> Steps:
    """Load with dlt into DuckDB, build a plain dbt project there, and write the TSV from its mart."""
    import dbt.adapters.duckdb  # noqa: F401
    import duckdb
    from dbt.cli.main import dbtRunner

    from orchestration.exports.tsv import TSV_COLUMNS
    from tests.benchmarks.usual_stack.load import load

    steps, warehouse = Steps(), folder / "warehouse.duckdb"
    with steps.step("dlt"):
        load(landing, warehouse, folder / "dlt")
    os.environ |= {"USUAL_STACK_WAREHOUSE": str(warehouse), "USUAL_STACK_LOOKUPS": str(ROOT / "seeds" / "lookups")}
    project = ["--project-dir", str(USUAL_STACK), "--profiles-dir", str(USUAL_STACK)]
    with steps.step("dbt build"):
        built = dbtRunner().invoke(
            ["build", *project, "--target-path", str(folder / "target"), "--log-path", str(folder / "logs"), "--quiet"]
        )
    if not built.success:
        raise RuntimeError(f"dbt build failed: {built.exception or 'see above'}")
    with steps.step("tsv"), duckdb.connect(str(warehouse)) as connection:
        cells = ", ".join(
            f"date_trunc('second', timezone('America/Sao_Paulo', timezone('UTC', starts.{column}))) as {column}"
            if column.endswith("_at")
            else f"starts.{column}"
            for column in (column.name for column in TSV_COLUMNS)
        )
        connection.execute("set timezone = 'UTC'")
        connection.execute(
            f"copy (select {cells} from fct_session_starts as starts order by starts.sent_at, starts.session_start_id) "
            f"to '{folder / TSV}' (format csv, header true, delimiter '\t', nullstr '')"
        )
    return steps


CONTENDERS: dict[str, Callable[[Path, Path], Steps]] = {
    "job": run_job,
    "floor": run_floor,
    "pandas": run_pandas,
    "usual_stack": run_usual_stack,
}


def make_logs(folder: Path, sends: int, days: int, fixed_day: tuple[int, int]) -> None:
    """Write `days` days of logs into `full/`, the day after them into `next_day/`, and the day after that into `fixed_day/`.

    `fixed_day` is a number of sends and of contacts: if both are the same, its files are the same, whatever the history.
    """
    from tests.data.generate_logs import MadeLogs, Story

    folder.mkdir(parents=True, exist_ok=True)
    with MadeLogs(Story(sends * (days + 1) // days, days + 1), folder) as logs:
        for feed in ("sends", "webhooks"):
            for day in range(days):
                logs.write_day(feed, day, folder / "full", "zstd")
            logs.write_day(feed, days, folder / "next_day", "zstd")
    # These sends have other numbers than those of the history and go to people in it.
    of_day = Story(fixed_day[0], 1, contacts=fixed_day[1], from_day=days + 1, first_send=1_000_000_000)
    with MadeLogs(of_day, folder) as logs:
        for feed in ("sends", "webhooks"):
            logs.write_day(feed, days + 1, folder / "fixed_day", "zstd")


def compare_tsvs(of_job: Path, other: Path) -> dict[str, int]:
    """Count the rows of the job's daily TSVs, those of another TSV, and the rows that are equal in every cell."""
    import duckdb

    with duckdb.connect() as connection:
        for name, path in (("job", of_job / "*.tsv"), ("other", other)):
            connection.execute(
                f"create table {name} as from read_csv('{path}', delim = '\t', header = true, all_varchar = true, quote = '\"')"
            )
        row = connection.execute(
            "select (select count(*) from job), (select count(*) from other), (select count(*) from (from job intersect all from other))"
        ).fetchone()
    assert row is not None
    return {"job_rows": row[0], "rows": row[1], "equal_rows": row[2]}

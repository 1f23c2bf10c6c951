"""Compare the cost of the job on Spark and on DuckDB: the same files, the same machine, one after the other.

.venv/bin/python -m tests.benchmarks.spark --logs FOLDER

FOLDER contains `full/` and `next_day/`, as `make bench BENCH_FLAGS="--logs …"` creates them for each size. On both engines, a full load,
the next day and a run with nothing new are separate processes; Spark runs on a cluster of two workers (`deploy/spark/local_cluster.py`).
Prints their seconds and ratios, and what the next day wrote to each Iceberg table; the last line is one JSON object.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from deploy.spark import local_cluster
from tests.benchmarks.contenders import ROOT, job_environment

SCHEMAS = ("raw", "state", "intermediate", "marts")


@dataclass(frozen=True)
class Written:
    """What the commits of a run wrote to a table: bytes of data and delete files; `table_bytes` is the table's current size."""

    table: str
    table_bytes: int
    bytes_written: int
    rows_added: int
    rows_removed: int

    @property
    def rows_changed(self) -> int:
        return self.rows_added + self.rows_removed


@dataclass(frozen=True)
class Job:
    """The job on one engine, with a landing zone and a data folder in `folder`."""

    folder: Path
    variables: dict[str, str]

    def land(self, logs: Path) -> None:
        shutil.copytree(logs, self.folder / "landing", copy_function=os.link, dirs_exist_ok=True)

    def seconds(self) -> float:
        """Run the job once and return the seconds of its process, including start-up."""
        started = time.perf_counter()
        self.run("orchestration", "--quiet")
        return time.perf_counter() - started

    def run(self, module: str, *arguments: str) -> str:
        environment = {**os.environ, **job_environment(self.folder / "landing", self.folder), **self.variables}
        done = subprocess.run([sys.executable, "-m", module, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{module} failed ({done.returncode}):\n{done.stderr[-3000:]}")
        return done.stdout


def written_since(began: datetime) -> list[Written]:
    """Return by table what the commits after a time wrote, from Iceberg's commit summaries."""
    from orchestration.engines.spark.session import spark_session
    from orchestration.settings import Settings

    settings = Settings.from_environment().spark
    assert settings is not None
    spark = spark_session(settings)
    found = []
    for schema in SCHEMAS:
        for row in spark.sql(f"show tables in {schema}").collect():
            table = f"{schema}.{row['tableName']}"
            commits = spark.sql(f"select summary from {table}.snapshots where committed_at >= timestamp '{began.isoformat()}'").collect()
            (held,) = spark.sql(f"select coalesce(sum(file_size_in_bytes), 0) from {table}.files").collect()

            def count(*names: str, commits=commits) -> int:
                return sum(int(commit["summary"].get(name, 0)) for commit in commits for name in names)

            found.append(
                Written(
                    table, held[0], count("added-files-size"), count("added-records"), count("deleted-records", "added-position-deletes")
                )
            )
    return found


def report(duckdb: dict[str, float], spark: dict[str, float], written: list[Written]) -> list[str]:
    """Return the lines to print."""
    lines = [f"{'process':<14}{'DuckDB':>10}{'Spark':>10}{'ratio':>8}"]
    lines += [f"{run:<14}{duckdb[run]:>8.1f} s{spark[run]:>8.1f} s{spark[run] / duckdb[run]:>8.1f}" for run in duckdb]
    lines += ["", f"{'written by the next day':<56}{'holds MB':>10}{'wrote MB':>10}{'rows + and -':>14}{'bytes a row':>13}"]
    for each in sorted(written, key=lambda each: -each.bytes_written):
        if each.rows_changed:
            lines.append(
                f"{each.table:<56}{each.table_bytes / 1e6:>10.1f}{each.bytes_written / 1e6:>10.2f}{each.rows_changed:>14,}"
                f"{each.bytes_written / each.rows_changed:>13.0f}"
            )
    return [*lines, "", json.dumps({"duckdb_seconds": duckdb, "spark_seconds": spark, "written": [asdict(each) for each in written]})]


def measure(logs: Path, folder: Path) -> list[str]:
    """Run both engines in `folder`; return the lines to print."""
    duckdb = Job(folder / "duckdb", {})
    on_duckdb = {}
    for name in ("full", "next_day"):
        duckdb.land(logs / name)
        on_duckdb[name] = duckdb.seconds()
    on_duckdb["nothing_new"] = duckdb.seconds()
    cluster = folder / "cluster"
    try:
        spark = Job(folder / "spark", local_cluster.start(cluster))
        on_spark = {}
        spark.land(logs / "full")
        on_spark["full"] = spark.seconds()
        spark.land(logs / "next_day")
        began = datetime.now(UTC)
        on_spark["next_day"] = spark.seconds()
        written = [Written(**each) for each in json.loads(spark.run("tests.benchmarks.spark", "--since", began.isoformat()))]
        on_spark["nothing_new"] = spark.seconds()
    finally:
        local_cluster.stop(cluster)
    return report(on_duckdb, on_spark, written)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--logs", type=Path, help="a folder with full/ and next_day/")
    parser.add_argument("--folder", type=Path, help="working folder, on the same disk as the logs (default: next to them)")
    parser.add_argument("--since", type=datetime.fromisoformat, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.since:
        print(json.dumps([asdict(each) for each in written_since(args.since)]))
        return
    with tempfile.TemporaryDirectory(prefix="spark-", dir=args.folder or args.logs.parent) as folder:
        print("\n".join(measure(args.logs, Path(folder))))


if __name__ == "__main__":
    main()

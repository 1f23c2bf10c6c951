"""Run a command of the project in a separate process: on Spark it matters that the process ends or is killed."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import duckdb

from orchestration.files import quoted
from orchestration.publication.marts import PUBLISHED_MARTS
from orchestration.settings import PROJECT_ROOT
from tests.spark.dump import KEPT, RAW
from tests.spark.waiting import wait_for

# These differ between any two runs and between engines.
_OF_A_RUN = ("landed_at", "load_id", "_landed_at", "_load_id")


@dataclass(frozen=True)
class Warehouse:
    """A landing zone with a data folder, and the variables that select the engine."""

    landing: Path
    data: Path
    variables: dict[str, str]

    @property
    def published(self) -> Path:
        lake = self.variables.get("STARTS_LAKE")
        return (Path(lake) if lake else self.data) / "published" / "conversation_starts.duckdb"

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        environment = {
            **os.environ,
            "STARTS_LANDING": str(self.landing),
            "STARTS_DATA": str(self.data),
            "STARTS_MAX_REJECTED_SHARE": "1",
            **self.variables,
        }
        return subprocess.Popen(
            [sys.executable, *(arguments or ("-m", "orchestration"))],
            cwd=PROJECT_ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip

    def run(self, *arguments: str) -> str:
        """Run a command, by default the job, to its end, and return its output."""
        process = self.start(*(("-m", "orchestration", *arguments) if arguments else ()))
        output, _ = process.communicate(timeout=900)
        assert process.returncode == 0, output
        return output

    def kill_when(self, is_time: Callable[[], bool], *arguments: str) -> None:
        """Start a command, by default the job, and kill it with its Java process when `is_time` returns true."""
        process = self.start(*(("-m", "orchestration", *arguments) if arguments else ()))
        try:
            wait_for(lambda: process.poll() is not None or is_time(), seconds=600)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
        assert process.returncode == -signal.SIGKILL, output

    def dump(self, folder: Path, *options: str) -> Path:
        """Dump the raw tables, the ledger and the quarantine as Parquet, with `--run` after a run of the job; return the folder."""
        return self.finish_dump(self.start_dump(folder, *options), folder)

    def start_dump(self, folder: Path, *options: str) -> "subprocess.Popen[str]":
        return self.start("-m", "tests.spark.dump", str(folder), *options)

    def finish_dump(self, process: "subprocess.Popen[str]", folder: Path) -> Path:
        output, _ = process.communicate(timeout=900)
        assert process.returncode == 0, output
        return folder


def assert_same(one: Warehouse, other: Warehouse, dump: Path, other_dump: Path) -> None:
    """Assert that two warehouses with these dumps have the same rows in all marts and raw tables, and the same TSVs."""
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        connection.execute(f"attach {quoted(one.published)} as one (read_only)")
        connection.execute(f"attach {quoted(other.published)} as other (read_only)")
        for mart in PUBLISHED_MARTS:
            _assert_same_rows(connection, mart.name, f"one.main.{mart.name}", f"other.main.{mart.name}")
    assert_same_raw(dump, other_dump)
    assert _tsvs(one) == _tsvs(other)


def assert_same_raw(one: Path, other: Path) -> None:
    """Assert that two dumps have the same ledger, quarantine and raw rows."""
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        for table in (*KEPT, *RAW):
            _assert_same_rows(connection, table, *(f"read_parquet({quoted(dump / f'{table}.parquet')})" for dump in (one, other)))


def _assert_same_rows(connection: duckdb.DuckDBPyConnection, name: str, first: str, second: str) -> None:
    described = connection.execute(f"describe select * from {first}").fetchall()
    columns = ", ".join(f"{column}::{data_type} as {column}" for column, data_type, *_ in described if column not in _OF_A_RUN)
    one, other = f"(select {columns} from {first})", f"(select {columns} from {second})"
    only_one = connection.execute(f"from {one} except all from {other}").fetchall()
    only_other = connection.execute(f"from {other} except all from {one}").fetchall()
    assert (only_one[:3], only_other[:3], len(only_one), len(only_other)) == ([], [], 0, 0), name
    # Two empty tables would also be equal.
    assert connection.execute(f"select count(*) > 0 from {one}").fetchone() == (True,), name


def _tsvs(warehouse: Warehouse) -> dict[str, bytes]:
    tsvs = {path.name: path.read_bytes() for path in (warehouse.data / "exports").glob("*.tsv")}
    assert tsvs
    return tsvs

"""Tests of the benchmark: its logs, its figures and, at a tiny size, all of it."""

import json
import os
import re
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from unittest.mock import patch

import pytest

from tests.benchmarks.compare import ContenderError, bench, contenders_at, in_own_process
from tests.benchmarks.contenders import CONTENDERS, make_logs
from tests.benchmarks.figures import Measured, Round, all_figures, as_json, figures_table, short
from tests.data import generate_logs
from tests.pipeline import Pipeline


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.*") if path.is_file()}


def test_logs_do_not_depend_on_the_number_of_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generate_logs.generate(tmp_path / "one", sends=900, days=4)
    monkeypatch.setattr(generate_logs, "PART_SENDS", 250)
    assert len(list(generate_logs.Story(900, 4).parts())) == 4

    generate_logs.generate(tmp_path / "four", sends=900, days=4)

    assert _contents(tmp_path / "four") == _contents(tmp_path / "one")


def test_fixed_day_is_the_same_for_all_sizes_with_new_messages_to_known_people(tmp_path: Path) -> None:
    import duckdb

    for sends in (600, 1200):
        make_logs(tmp_path / str(sends), sends, days=3, fixed_day=(40, 200))

    days = [_contents(tmp_path / size / "fixed_day") for size in ("600", "1200")]
    assert days[0] == days[1]
    assert sorted(days[0]) == ["sends/2026-10-05.jsonl.zst", "webhooks/2026-10-05.jsonl.zst"]
    assert sorted(_contents(tmp_path / "600" / "next_day")) == ["sends/2026-10-04.jsonl.zst", "webhooks/2026-10-04.jsonl.zst"]
    with duckdb.connect() as connection:
        for name, folder in (("day", "600/fixed_day"), ("history", "600/full"), ("larger", "1200/full")):
            connection.execute(f"create table {name} as from read_json('{tmp_path / folder}/sends/*.zst', columns = $columns)", {
                "columns": {"message_id": "VARCHAR", "contact_id": "VARCHAR"}
            })  # fmt: skip
        assert connection.execute("select count(*) >= 40 from day").fetchone() == (True,)
        for history in ("history", "larger"):
            assert connection.execute(f"select count(*) from day semi join {history} using (message_id)").fetchone() == (0,)
            known = connection.execute(f"select avg((contact_id in (select contact_id from {history}))::int) from day").fetchone()
            assert known is not None
            assert known[0] > 0.8


def _measured(seconds: float, *, publication: float = 0.0, cpu: float = 1.0, peak: float = 1.0) -> Measured:
    steps = {"build_models": seconds - publication, "published_marts": publication}
    return Measured(steps, cpu / 2, wall_seconds=seconds + 3, cpu_seconds=cpu, peak_gb=peak, written_gb=0.1)


def _round(sends: int, job: float, fixed_day: float, *, others: bool) -> Round:
    runs = {"floor": _measured(10)}
    if others:
        runs |= {"pandas": _measured(60), "usual_stack": _measured(90)}
    runs |= {
        "full": _measured(job, peak=2.0, cpu=8),
        "next_day": _measured(job / 10, publication=1.5, peak=1.5),
        "fixed_day": _measured(fixed_day, publication=1),
        "nothing_new": _measured(0.5),
        "command": _measured(0, cpu=3.5),
    }
    copies = {"next_day": 0.5, "fixed_day": 0.5}
    return Round(sends, runs, copies, {"warehouse": 400 * sends}, {"job_rows": 8, "rows": 9, "equal_rows": 6} if others else {})


def test_figures_are_ratios_of_medians_with_the_smallest_size_on_top() -> None:
    rounds = {
        5_000_000: [_round(5_000_000, 50, 6, others=False)],
        1_000_000: [_round(1_000_000, job, 4, others=True) for job in (20, 100, 30)],
    }

    line = as_json(all_figures(rounds))

    assert "\n" not in line
    found = json.loads(line)
    assert list(found["sizes"]) == ["1000000", "5000000"]
    one, five = found["sizes"]["1000000"], found["sizes"]["5000000"]
    assert one == {name: value for name, value in found.items() if name not in ("sends", "sizes", "day_on_5m_over_1m")}
    assert found["sends"] == 1_000_000
    assert found["day_on_5m_over_1m"] == 1.5
    assert {name: one[name] for name in one if "_over_" in name or "share" in name} == {
        "job_over_floor": 3.0,
        "pandas_over_job": 2.0,
        "usual_stack_over_job": 3.0,
        "next_day_share": 0.1,
        "job_over_floor_cpu": 8.0,
        "pandas_over_job_cpu": 0.125,
        "usual_stack_over_job_cpu": 0.125,
        "next_day_share_cpu": 0.125,
        "publication_over_copy": 3.0,
        "usual_stack_equal_share": 0.75,
    }
    assert (one["peak_gb"], one["warehouse_bytes_per_send"]) == (2.0, 400)
    assert (one["job_seconds"], one["nothing_new_seconds"], one["nothing_new_cpu_seconds"]) == (30, 0.5, 3.5)
    assert one["publication_beside_copy_seconds"] == 1.0
    assert five["job_over_floor"] == 5.0
    assert not [name for name in five if name.startswith(("pandas", "usual_stack"))]


def test_table_shows_which_aims_are_met() -> None:
    everything = all_figures({1_000_000: [_round(1_000_000, 20, 5, others=True)], 5_000_000: [_round(5_000_000, 30, 6, others=False)]})

    lines = {re.split(r" {2,}", line)[0]: re.split(r" {2,}", line)[1:] for line in figures_table(everything)}

    assert lines["figure"] == ["1m", "5m"]
    assert lines["job_over_floor"] == ["2.00 (met: <= 2.5)", "3.00 (missed: <= 2.5)"]
    assert lines["next_day_share"] == ["10.0% (met: <= 0.15)", "10.0% (missed: <= 0.08)"]
    assert lines["usual_stack_over_job"] == ["4.50 (missed: >= 5)", ""]
    assert lines["day_on_5m_over_1m"] == ["1.20 (met: <= 1.3)"]


def test_sizes_are_written_short() -> None:
    assert [short(sends) for sends in (10_000_000, 1_500_000, 2_000, 2_500, 999)] == ["10m", "1500k", "2k", "2500", "999"]


def test_slow_contenders_run_up_to_1m_and_a_missing_package_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dlt", None)
    assert contenders_at(1_000_000, (), all_sizes=False) == (
        ["floor", "pandas"],
        ["The usual stack is left out: install dlt with `.venv/bin/uv sync --inexact --group bench`."],
    )
    assert contenders_at(1_000_000, ("usual_stack", "floor"), all_sizes=False) == (["pandas"], [])
    assert contenders_at(1_000_001, (), all_sizes=False) == (["floor"], [])
    assert contenders_at(1_000_001, ("usual_stack",), all_sizes=True) == (["floor", "pandas"], [])


def test_contender_runs_in_a_separate_process_and_reports_its_failure(tmp_path: Path) -> None:
    make_logs(tmp_path / "logs", 200, days=2, fixed_day=(5, 50))

    measured = in_own_process("floor", tmp_path / "logs" / "full", tmp_path)

    assert list(measured.steps) == ["script"]
    assert 0 < measured.steps_cpu_seconds < measured.cpu_seconds
    assert 0 < measured.seconds < measured.wall_seconds
    # A Python process with DuckDB takes at least 60 MB. There is no upper bound: until a child has started its own program, it is as large
    # as its parent.
    assert measured.peak_gb > 0.04
    assert len((tmp_path / "session_starts.tsv").read_text(encoding="utf-8").splitlines()) > 50
    with pytest.raises(ContenderError, match=r"(?s)--contender floor .* failed \(1\):.*No files found"):
        in_own_process("floor", tmp_path / "nothing", tmp_path)


def _in_this_process(name: str, landing: Path, folder: Path) -> Measured:
    """Run a contender in this process: a separate one costs six seconds of start-up for each run of the job.

    Its `written_gb` is the number of files in the landing zone.
    """
    started, cpu_started = time.perf_counter(), time.process_time()
    with patch.dict(os.environ):
        if name == "command":
            done = Pipeline(landing, folder / "data", {}).command("--quiet")
            assert done.returncode == 0, done.stderr
            steps = {}, 0.0
        else:
            took = CONTENDERS[name](landing, folder)
            steps = took.seconds, took.cpu_seconds
    return Measured(*steps, time.perf_counter() - started, time.process_time() - cpu_started, 0.5, len(list(landing.rglob("*.zst"))))


@pytest.mark.thorough
def test_benchmark_works_from_end_to_end(tmp_path: Path) -> None:
    lines = list(bench([1200], tmp_path, logs=tmp_path / "kept", run=_in_this_process))

    found = json.loads(lines[-1])
    of_size = found["sizes"]["1200"]
    assert found == {"sends": 1200, **of_size, "sizes": {"1200": of_size}}
    steps = {"land_sends", "land_webhooks", "build_models", "published_marts", "session_starts_tsv"}
    assert steps <= {line.split()[0] for line in lines if line.split()}
    names = {
        *("job_over_floor", "pandas_over_job", "next_day_share", "publication_over_copy", "publication_beside_copy_seconds", "peak_gb"),
        *("warehouse_bytes_per_send", "published_bytes_per_send", "parquet_bytes_per_send", "nothing_new_seconds"),
        *("nothing_new_cpu_seconds", "job_seconds", "copy_seconds"),
    }
    assert names <= {name for name, value in of_size.items() if value > 0}
    # 60 days of two feeds, and one more day for each run after the full load.
    processes = [line.split() for line in lines if line.endswith(".00 GB")]
    assert {" ".join(cells[:-12]): float(cells[-2]) for cells in processes} == {
        **({"usual stack": 120} if find_spec("dlt") else {}),
        **{"floor": 120, "pandas": 120, "full": 120, "next day": 122, "nothing new": 122, "command": 122},
    }
    if find_spec("dlt"):
        assert found["usual_stack_over_job"] > 0
        assert found["usual_stack_equal_share"] == 1.0
    else:
        assert "The usual stack is left out" in lines[0]
    # Only the logs are left.
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (tmp_path / "kept" / "1200-20-300" / "finished").exists()

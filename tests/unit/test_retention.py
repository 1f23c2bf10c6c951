"""Tests that old Dagster runs, and runs with nothing new, are deleted completely, including what Dagster's own deletion leaves."""

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from dagster import (
    AssetCheckResult,
    AssetCheckSpec,
    AssetKey,
    DagsterInstance,
    Definitions,
    MaterializeResult,
    RunsFilter,
    asset,
    define_asset_job,
)

from orchestration.defs.retention import NOTHING_NEW, delete_old_runs


@asset(check_specs=[AssetCheckSpec("check", asset="counted")])
def counted() -> MaterializeResult:
    print("printed")
    return MaterializeResult(metadata={"text": "x" * 10_000}, check_results=[AssetCheckResult(check_name="check", passed=True)])


DEFS = Definitions(assets=[counted], jobs=[define_asset_job("ours", selection=[counted]), define_asset_job("others", selection=[counted])])


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[DagsterInstance]:
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with DagsterInstance.local_temp(str(tmp_path)) as made:
        yield made


def run(instance: DagsterInstance, job: str = "ours", tags: dict[str, str] | None = None) -> str:
    return DEFS.resolve_job_def(job).execute_in_process(instance=instance, tags=tags).run_id


def forget(instance: DagsterInstance, days_later: int = 0, keep_days: int = 30) -> None:
    delete_old_runs(instance, "ours", keep_days, datetime.now(UTC) + timedelta(days=days_later))


def traces(home: Path, run_id: str) -> dict[str, Any]:
    """Count what is left of a run in each database and in its files."""
    found: dict[str, Any] = {
        "files": [str(path.relative_to(home)) for path in home.rglob(f"*{run_id}*") if not path.name.endswith(".lock")]
    }
    for name in ("history/runs.db", "history/runs/index.db"):
        with sqlite3.connect(home / name) as database:
            tables = [table for (table,) in database.execute("select name from sqlite_master where type = 'table'")]
            for table in tables:
                columns = [column[1] for column in database.execute(f"pragma table_info({table})")]
                if "run_id" in columns:
                    (count,) = database.execute(f"select count(*) from {table} where run_id = ?", (run_id,)).fetchone()
                    found[table] = count
    return {what: count for what, count in found.items() if count}


def test_no_trace_is_left_of_a_run_that_is_too_old(instance: DagsterInstance, tmp_path: Path) -> None:
    old = run(instance, tags={"some": "tag"})
    before = traces(tmp_path, old)
    assert {"files", "runs", "run_tags", "event_logs", "asset_check_executions"} <= set(before)
    forget(instance, days_later=29)
    assert traces(tmp_path, old) == before
    forget(instance, days_later=31)
    forget(instance, days_later=31)
    assert traces(tmp_path, old) == {}
    # The current state of the asset stays known.
    assert instance.get_latest_materialization_event(AssetKey("counted")) is not None


def test_only_old_runs_of_the_job_are_deleted(instance: DagsterInstance) -> None:
    others, old = run(instance, "others"), run(instance)
    forget(instance, days_later=8, keep_days=7)
    assert instance.get_run_by_id(others) is not None
    assert instance.get_run_by_id(old) is None


def test_run_in_progress_is_not_deleted_for_a_week(instance: DagsterInstance) -> None:
    under_way = instance.create_run_for_job(DEFS.resolve_job_def("ours"))
    forget(instance, days_later=6, keep_days=1)
    assert instance.get_run_by_id(under_way.run_id) is not None


def test_killed_run_is_deleted_when_it_is_too_old(instance: DagsterInstance, tmp_path: Path) -> None:
    killed = instance.create_run_for_job(DEFS.resolve_job_def("ours"))
    instance.report_engine_event("started", killed)
    forget(instance, days_later=29)
    assert instance.get_run_by_id(killed.run_id) is not None
    forget(instance, days_later=31)
    assert traces(tmp_path, killed.run_id) == {}


@pytest.mark.thorough
def test_only_the_newest_run_with_nothing_new_keeps_its_events(instance: DagsterInstance, tmp_path: Path) -> None:
    with_news = run(instance)
    quiet = [run(instance, tags=NOTHING_NEW) for _ in range(4)]
    forget(instance)
    assert "event_logs" in traces(tmp_path, with_news)
    assert "event_logs" in traces(tmp_path, quiet[-1])
    for run_id in quiet[:-1]:
        assert set(traces(tmp_path, run_id)) == {"runs", "run_tags"}
    # The runs themselves are still listed.
    assert len(instance.get_runs(RunsFilter(job_name="ours"))) == 5
    # The newest run still shows that the check passed.
    (record,) = instance.event_log_storage.get_asset_check_execution_history(
        next(iter(DEFS.resolve_asset_graph().asset_check_keys)), limit=10, cursor=None
    )[:1]
    assert record.run_id == quiet[-1]


def test_home_does_not_grow_with_runs_with_nothing_new(instance: DagsterInstance, tmp_path: Path) -> None:
    def size() -> int:
        return sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())

    sizes = []
    for _ in range(7):
        run(instance, tags=NOTHING_NEW)
        forget(instance)
        sizes.append(size())
    assert sizes[0] > 200_000
    assert sizes[-1] - sizes[2] < 4 * 10_000, sizes

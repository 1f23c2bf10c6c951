"""dbt as people run it by hand, on the warehouse of a test's pipeline: without the job, its lock and its record of builds."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestration.settings import DBT_PROJECT_DIR
from orchestration.transform.invocation import warehouse_in_environment
from orchestration.transform.parsed import parsed_project
from tests.pipeline import Pipeline


@dataclass(frozen=True)
class DbtRun:
    """What dbt said: whether all went well, else why not, and which nodes failed."""

    success: bool
    message: str
    failed: tuple[str, ...]

    @property
    def refusal(self) -> str | None:
        """The sentence with which a guard refused the run, without dbt's own words around it."""
        lines = self.message.splitlines()
        refused = any("in macro" in line and "run_guards.sql" in line for line in lines)
        return lines[1].strip() if refused else None


def dbt_by_hand(run: Pipeline, *arguments: str, project: Path = DBT_PROJECT_DIR, on_event: Callable[[Any], None] | None = None) -> DbtRun:
    """Run a dbt command in this process, on the project as it was parsed before; another `project` is parsed first."""
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager
    from dbt.cli.main import dbtRunner

    manifest = None
    if project == DBT_PROJECT_DIR:
        manifest = parsed_project(run.settings).manifest()
        # As the command line does; the job has no use for it.
        manifest.build_flat_graph()
    target = run.data / ".dbt_by_hand"
    folders = ["--project-dir", str(project), "--profiles-dir", str(project), "--target-path", str(target), "--log-path", str(target)]
    with warehouse_in_environment(run.settings):
        result = dbtRunner(manifest, callbacks=[on_event] if on_event else []).invoke([*arguments, *folders, "--log-level", "none"])
    DuckDBConnectionManager.close_all_connections()
    results = getattr(result.result, "results", [])
    failed = tuple(node.node.name for node in results if node.status not in ("success", "pass", "no-op", "warn"))
    return DbtRun(bool(result.success), str(result.exception or ""), failed)

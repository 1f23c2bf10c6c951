"""Call dbt inside this process.

A warm `dbtRunner` saves the three seconds that `dbt --version` and a cold start cost on every run. It also ends when the run is
killed: no orphaned process keeps writing to the warehouse.
"""

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestration.settings import DBT_PROJECT_DIR, Settings
from orchestration.transform.dbt_import import import_dbt

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest


# Spark appends about a hundred lines of Java stack trace to a message.
_STACK_OF_JAVA = re.compile(r"\n\s*(?:JVM stacktrace:|at [\w.$/]+\()")


class DbtError(Exception):
    """A dbt command failed; the message lists what failed, in dbt's words."""


def common_arguments(settings: Settings, target_dir: Path | None = None) -> list[str]:
    """Return the options of every dbt command. dbt writes below the data folder unless `target_dir` is passed."""
    target = target_dir or settings.dbt_target_dir
    return [
        "--project-dir", str(DBT_PROJECT_DIR),
        "--profiles-dir", str(DBT_PROJECT_DIR),
        "--target-path", str(target),
        "--log-path", str(target / "logs"),
        "--log-level", "none",
        "--vars", json.dumps(settings.dbt_vars),
    ]  # fmt: skip


def invoke(
    settings: Settings, arguments: list[str], manifest: "Manifest | None" = None, on_event: Callable[[Any], None] | None = None
) -> None:
    """Run a dbt command, on an already parsed manifest if one is passed. Raises `DbtError`."""
    import_dbt()
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager
    from dbt.cli.main import dbtRunner

    try:
        with warehouse_in_environment(settings):
            result = dbtRunner(manifest, callbacks=[on_event] if on_event else []).invoke(arguments)
    finally:
        # dbt-duckdb would keep the file open, and lock out every other process, until this process ends.
        DuckDBConnectionManager.close_all_connections()
    if result.success:
        return
    if result.exception is not None:
        raise DbtError(f"dbt stopped: {result.exception}") from result.exception
    raise DbtError("\n".join(_failures(result.result)))


def _failures(result: Any) -> Iterator[str]:
    for node_result in getattr(result, "results", []):
        if node_result.status in {"error", "fail", "runtime error"}:
            yield f"{node_result.node.name}: {_STACK_OF_JAVA.split(str(node_result.message), maxsplit=1)[0].rstrip()}"


@contextmanager
def warehouse_in_environment(settings: Settings) -> Iterator[None]:
    """Point the dbt profile to the same warehouse as the Dagster resource: settings may also come from `.env`."""
    meant = {"STARTS_WAREHOUSE": str(settings.warehouse_path), "STARTS_ENGINE": settings.engine.value}
    before = {name: os.environ.get(name) for name in meant}
    os.environ.update(meant)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value

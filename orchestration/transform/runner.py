"""dbt, run inside this process.

A warm `dbtRunner` saves the three seconds that `dbt --version` and a cold start cost on every run, and
it goes down with the run that a kill ends: no orphan keeps writing to the warehouse.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from orchestration.settings import DBT_PROJECT_DIR, PROJECT_ROOT, Settings
from orchestration.transform.builds import Build, BuildKind

_SOURCES_OF_THE_MANIFEST = (*(DBT_PROJECT_DIR / name for name in ("models", "macros", "tests")), PROJECT_ROOT / "seeds" / "lookups")
_SETTINGS_OF_DBT = (DBT_PROJECT_DIR / "dbt_project.yml", DBT_PROJECT_DIR / "profiles.yml")


# Look-ups with their own tests, and views below the marts: they are what they were as long as the definition is. Each is
# named itself (`empty`), because dbt would leave out with it every test that reads it, also those of a model that changed.
_WITHOUT_WHAT_IS_SAME_AS_BEFORE = [
    "--indirect-selection", "empty",
    "--exclude", "resource_type:seed", "file:lookups.yml",
    "config.materialized:view,path:models/staging", "config.materialized:view,path:models/intermediate",
    "config.materialized:view,path:models/metrics",
]  # fmt: skip


def build_arguments(settings: Settings, build: Build) -> list[str]:
    """Return dbt's command line for the production build: models, look-ups and data tests, no unit tests.

    A build upon another one of the same definition leaves out what cannot have changed, a third of the nodes.
    """
    # Nobody reads what dbt would write of its results: they are told as it runs.
    arguments = ["build", "--exclude-resource-type", "unit_test", "--no-write-json", *common_arguments(settings)]
    if build.kind is BuildKind.REBUILD:
        return [*arguments, "--full-refresh"]
    if build.kind is BuildKind.INCREMENT:
        return [*arguments, *_WITHOUT_WHAT_IS_SAME_AS_BEFORE]
    return arguments


def parse_arguments(settings: Settings) -> list[str]:
    return ["parse", *common_arguments(settings)]


def common_arguments(settings: Settings) -> list[str]:
    return [
        "--project-dir", str(DBT_PROJECT_DIR),
        "--profiles-dir", str(DBT_PROJECT_DIR),
        "--target-path", str(settings.dbt_target_dir),
        "--log-path", str(settings.dbt_target_dir / "logs"),
        "--log-level", "none",
        "--vars", json.dumps(settings.dbt_vars),
    ]  # fmt: skip


def manifest_path(settings: Settings) -> Path:
    """Return the manifest's path, after parsing the project if the manifest is missing or of other files than today's."""
    path = settings.dbt_target_dir / "manifest.json"
    made_from = settings.dbt_target_dir / "manifest_made_from"
    project = _project_fingerprint()
    if not path.exists() or not made_from.exists() or made_from.read_text(encoding="utf-8") != project:
        settings.dbt_target_dir.mkdir(parents=True, exist_ok=True)
        _invoke(settings, parse_arguments(settings), [])
        made_from.write_text(project, encoding="utf-8")
    return path


def _project_fingerprint() -> str:
    """Hash the project's files by place, size and time: a checkout of another version may be older than the manifest."""
    paths = [*_SETTINGS_OF_DBT, *(path for root in _SOURCES_OF_THE_MANIFEST for path in root.rglob("*") if path.is_file())]
    stamps = sorted((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in paths)
    return hashlib.sha256(repr(stamps).encode()).hexdigest()


class DbtError(Exception):
    """dbt did not finish; the message lists what failed, as dbt says it."""


def run_dbt(settings: Settings, arguments: list[str]) -> tuple[list[dict[str, Any]], DbtError | None]:
    """Run a dbt command; return its events as dbt's JSON log would show them, and what went wrong if anything did."""
    events: list[dict[str, Any]] = []
    try:
        _invoke(settings, arguments, events)
    except DbtError as failure:
        return events, failure
    return events, None


def _invoke(settings: Settings, arguments: list[str], events: list[dict[str, Any]]) -> None:
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager
    from dbt.cli.main import dbtRunner
    from google.protobuf.json_format import MessageToDict

    def remember(event: Any) -> None:
        if event.info.name in {"LogModelResult", "LogSeedResult", "LogTestResult", "LogSnapshotResult"}:
            events.append(MessageToDict(event, preserving_proto_field_name=True))

    with warehouse_in_environment(settings):
        result = dbtRunner(callbacks=[remember]).invoke(arguments)
    # dbt-duckdb keeps the file open until the process ends, and with it every other process out.
    DuckDBConnectionManager.close_all_connections()
    if result.success:
        return
    if result.exception is not None:
        raise DbtError(f"dbt stopped: {result.exception}") from result.exception
    raise DbtError("\n".join(_failures(result.result)))


def _failures(result: Any) -> Iterator[str]:
    for node_result in getattr(result, "results", []):
        if node_result.status in {"error", "fail", "runtime error"}:
            yield f"{node_result.node.name}: {node_result.message}"


@contextmanager
def warehouse_in_environment(settings: Settings) -> Iterator[None]:
    """Let the dbt profile and the Dagster resource mean the same file."""
    before = os.environ.get("STARTS_WAREHOUSE")
    os.environ["STARTS_WAREHOUSE"] = str(settings.warehouse_path)
    try:
        yield
    finally:
        if before is None:
            del os.environ["STARTS_WAREHOUSE"]
        else:
            os.environ["STARTS_WAREHOUSE"] = before

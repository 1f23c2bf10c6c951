"""`python -m orchestration metrics query --metrics reply_rate`: query the metrics of the published report.

This is MetricFlow's own command line on the published file; the working file is reserved for the writer.
"""

import os
import sys
from argparse import REMAINDER, Namespace
from collections.abc import Mapping
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from orchestration.errors import StartsError
from orchestration.installation import IS_CLONE, how_to_install
from orchestration.settings import DBT_PROJECT_DIR, Settings


def add_to(commands: Any) -> None:
    parser = commands.add_parser("metrics", help="query the metrics with MetricFlow's own commands")
    parser.set_defaults(command=metrics_command, runs_job=False)
    parser.add_argument("arguments", nargs=REMAINDER, help="such as: list metrics; query --metrics sends --group-by metric_time")


def metrics_command(chosen: Namespace) -> int:
    """Run an `mf` command, and exit with its exit code."""
    settings = Settings.from_environment()
    check_ready(settings)
    os.environ.update(environment(settings))
    _write_semantic_manifest()
    _disable_update_check()
    from dbt_metricflow.cli.main import cli  # pyright: ignore[reportMissingImports]

    cli.main(chosen.arguments, prog_name="mf")
    return 0


def check_ready(settings: Settings) -> None:
    """Raise `StartsError` if MetricFlow is not installed or cannot write to the dbt project, or if nothing is published."""
    if find_spec("dbt_metricflow") is None:
        raise StartsError(f"MetricFlow is not installed: run {how_to_install('metrics')}.")
    if not os.access(DBT_PROJECT_DIR, os.W_OK):
        raise StartsError(f"MetricFlow writes to {DBT_PROJECT_DIR}, but this user may not: install the package for this user.")
    if not settings.published_database.exists():
        raise StartsError(f"There is no {settings.published_database} yet: run the job first.")


def environment(settings: Settings) -> Mapping[str, str]:
    """Return the environment variables of dbt and MetricFlow; paths are absolute, so that `--csv` refers to the caller's folder."""
    return {
        "STARTS_DBT_TARGET": "published",
        "STARTS_PUBLISHED": str(settings.published_database),
        "DBT_PROJECT_DIR": str(DBT_PROJECT_DIR),
        "DBT_PROFILES_DIR": str(DBT_PROJECT_DIR),
        "DBT_LOG_PATH": str((DBT_PROJECT_DIR if IS_CLONE else settings.dbt_target_dir) / "logs"),
    }


def _write_semantic_manifest() -> None:
    """Parse the project into `dbt_project/target`, the only place where MetricFlow looks."""
    from dbt.cli.main import dbtRunner

    result = dbtRunner().invoke(["--quiet", "parse"])
    if not result.success:
        sys.exit(f"The dbt project cannot be parsed: {result.exception}")


def _disable_update_check() -> None:
    """Disable MetricFlow's update check.

    At every call, it asks PyPI for a version that our pin forbids, and unpickles the answer from a shared folder.
    """
    stub = ModuleType("update_checker")
    stub.UpdateChecker = type("UpdateChecker", (), {"check": lambda *_: None})  # type: ignore[attr-defined]
    sys.modules["update_checker"] = stub

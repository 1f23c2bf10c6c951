"""`python -m orchestration docs`: dbt's documentation of every model and column, with the catalog of the warehouse."""

from argparse import Namespace
from typing import Any

from orchestration.errors import StartsError
from orchestration.installation import IS_CLONE, command
from orchestration.settings import DBT_PROJECT_DIR, Engine, Settings


def add_to(commands: Any) -> None:
    parser = commands.add_parser("docs", help="build the documentation of every model and column, after a run")
    parser.set_defaults(command=docs_command, runs_job=False)


def docs_command(_: Namespace) -> int:
    """Write dbt's documentation as one HTML file and print its path. Raises `StartsError` if no run has created a warehouse yet."""
    settings = Settings.from_environment()
    if settings.engine is Engine.SPARK:
        raise StartsError("dbt's documentation is built on DuckDB: with STARTS_ENGINE=duckdb, run the job and then this command.")
    if not settings.warehouse_path.exists():
        raise StartsError(f"There is no {settings.warehouse_path} yet: run `{command()}` first.")
    # Imported late: dbt takes a second to load.
    from dbt.cli.main import dbtRunner

    from orchestration.transform.invocation import warehouse_in_environment

    # In a clone, the folder in which dbt's own commands find it; an installed package is not changed.
    target = DBT_PROJECT_DIR / "target" if IS_CLONE else settings.dbt_target_dir / "docs"
    folders = ["--project-dir", str(DBT_PROJECT_DIR), "--profiles-dir", str(DBT_PROJECT_DIR)]
    folders += ["--target-path", str(target), "--log-path", str(target.parent / "logs")]
    with warehouse_in_environment(settings):
        result = dbtRunner().invoke(["--quiet", "docs", "generate", "--static", *folders])
    if not result.success:
        return 1
    print(target / "static_index.html")
    return 0

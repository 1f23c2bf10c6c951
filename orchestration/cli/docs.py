"""`python -m orchestration docs`: dbt's documentation of every model and column, with what the warehouse knows of them."""

import sys
from argparse import Namespace
from typing import Any

from orchestration.errors import StartsError
from orchestration.settings import DBT_PROJECT_DIR, Settings


def add_to(commands: Any) -> None:
    parser = commands.add_parser("docs", help="build the documentation of every model and column, after a run")
    parser.set_defaults(command=docs_command)


def docs_command(_: Namespace) -> int:
    """Write dbt's documentation as one HTML file and name it; 2 where no run has made a warehouse yet."""
    try:
        settings = Settings.from_environment()
        if not settings.warehouse_path.exists():
            raise StartsError(f"There is no {settings.warehouse_path} yet: run `make run` first.")
    except StartsError as error:
        print(f"docs could not start: {error}", file=sys.stderr)
        return 2
    # Imported late: dbt takes a second to load.
    from dbt.cli.main import dbtRunner

    from orchestration.transform.invocation import warehouse_in_environment

    folders = ["--project-dir", str(DBT_PROJECT_DIR), "--profiles-dir", str(DBT_PROJECT_DIR)]
    with warehouse_in_environment(settings):
        result = dbtRunner().invoke(["--quiet", "docs", "generate", "--static", *folders])
    if not result.success:
        return 1
    print(DBT_PROJECT_DIR / "target" / "static_index.html")
    return 0

"""`python -m orchestration dg dev`, `… dg launch --job …`: Dagster's own command line, with the runs of this data folder."""

import os
import sys
from argparse import REMAINDER, Namespace
from pathlib import Path
from typing import Any

from orchestration.errors import StartsError
from orchestration.installation import IS_CLONE
from orchestration.settings import PROJECT_ROOT, Settings
from orchestration.warehouse import prepare_data_folder


def add_to(commands: Any) -> None:
    parser = commands.add_parser("dg", help="Dagster's command line, with the runs of this data folder: `dg dev` opens its UI")
    parser.set_defaults(command=dg_command, runs_job=False)
    parser.add_argument("arguments", nargs=REMAINDER, help="such as: dev; launch --job export_on_demand")


def dg_command(chosen: Namespace) -> int:
    """Replace this process with `dg`, in the project's folder and with DAGSTER_HOME set."""
    dg = Path(sys.executable).with_name("dg")
    settings = Settings.from_environment()
    if not IS_CLONE:
        raise StartsError(
            "`dg` only works in a clone of the project. For Dagster's UI with this package, install its extra `production` and run "
            f"`DAGSTER_HOME={settings.dagster_home} dagster dev -m orchestration.definitions` in this folder, after a first run."
        )
    if not dg.exists():
        raise StartsError("Dagster's command line is not installed: run .venv/bin/uv sync --inexact.")
    prepare_data_folder(settings)
    # Imported late: Dagster takes seconds to load.
    from orchestration.defs.home import open_instance, prepare_home

    with open_instance(settings):
        home = prepare_home(settings)
    os.chdir(PROJECT_ROOT)
    # Without VIRTUAL_ENV, `dg` warns that this environment is not the active one.
    return os.execve(dg, [str(dg), *chosen.arguments], {**os.environ, "VIRTUAL_ENV": sys.prefix, "DAGSTER_HOME": str(home)})

"""Dagster's home: its runs, events and schedules. Below the data folder, so that those of two data folders never mix."""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from dagster import DagsterError, DagsterInstance
from filelock import FileLock

from orchestration.errors import StartsError
from orchestration.settings import PROJECT_ROOT, Settings, environment

_TEMPLATE = PROJECT_ROOT / "dagster.yaml"
_HEADER = "# Written at every start from dagster.yaml of the project. For one of your own, set DAGSTER_HOME to its folder.\n"
_FOLDER_OF_TEMPLATE = re.compile(r"(?m)^( *base_dir: )\.dagster(\S*)$")


@contextmanager
def open_instance(settings: Settings) -> Iterator[DagsterInstance]:
    """Open Dagster's instance of a data folder, or the one that DAGSTER_HOME names. Raises `StartsError`."""
    home = prepare_home(settings)
    try:
        # Two processes that create the databases at once fail half way: both find none, and both create the tables.
        with _lock(home):
            instance = DagsterInstance.from_config(str(home))
    except DagsterError as error:
        raise StartsError(f"Dagster cannot be started from {home}: {error}. Correct its dagster.yaml, or unset DAGSTER_HOME.") from error
    with instance:
        yield instance


def prepare_home(settings: Settings) -> Path:
    """Return Dagster's home; where DAGSTER_HOME is not set, write its configuration below the data folder, which exists."""
    given = environment().get("DAGSTER_HOME")
    if given is not None:
        home = Path(given).expanduser()
        if not home.is_absolute() or not home.is_dir():
            raise StartsError(f"DAGSTER_HOME is {given}: name an existing folder from the root on, or unset it to use {settings.data}.")
        return home
    home = settings.dagster_home
    home.mkdir(exist_ok=True)
    configuration = _HEADER + _FOLDER_OF_TEMPLATE.sub(lambda found: found[1] + json.dumps(f"{home}{found[2]}"), _template())
    path = home / "dagster.yaml"
    if not path.exists() or path.read_text(encoding="utf-8") != configuration:
        draft = home / f".dagster.yaml.{os.getpid()}"
        draft.write_text(configuration, encoding="utf-8")
        draft.replace(path)
    return home


def _template() -> str:
    return _TEMPLATE.read_text(encoding="utf-8")


def _lock(home: Path) -> FileLock | nullcontext[None]:
    # A home that cannot be written to keeps its databases elsewhere, as that of deploy/ does.
    return FileLock(home / ".opening.lock") if os.access(home, os.W_OK) else nullcontext()

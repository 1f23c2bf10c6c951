"""Dagster's home: its runs, events and schedules. It is below the data folder, so that runs of two data folders never mix."""

import json
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from functools import cache
from pathlib import Path

from dagster import DagsterError, DagsterInstance
from dagster._core.storage.event_log import SqliteEventLogStorage
from filelock import FileLock
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.pool import SingletonThreadPool

from orchestration.errors import StartsError
from orchestration.settings import PROJECT_ROOT, Settings, dagster_home_set

_TEMPLATE = PROJECT_ROOT / "dagster.yaml"
_HEADER = "# Written at every start from the project's dagster.yaml. To use your own, set DAGSTER_HOME to its folder.\n"
# How long a connection to SQLite waits for another process; the same as in Dagster.
_SECONDS_TO_WAIT = 30
_FOLDER_OF_TEMPLATE = re.compile(r"(?m)^( *base_dir: )\.dagster(\S*)$")


@contextmanager
def open_instance(settings: Settings) -> Iterator[DagsterInstance]:
    """Open the Dagster instance of a data folder, or the one in DAGSTER_HOME. Raises `StartsError`."""
    home = prepare_home(settings)
    try:
        # If two processes create the databases at once, both find none and both create the tables, which fails half way.
        with _lock(home):
            instance = DagsterInstance.from_config(str(home))
    except DagsterError as error:
        raise StartsError(f"Dagster cannot be started from {home}: {error}. Correct its dagster.yaml, or unset DAGSTER_HOME.") from error
    with instance, _keep_event_connections_open(instance):
        yield instance


@contextmanager
def _keep_event_connections_open(instance: DagsterInstance) -> Iterator[None]:
    """Keep connections to the events of this process's run open, if the events are in SQLite.

    Dagster opens and closes its databases for every event, and the last connection that closes a database in WAL mode copies the
    log into it. In a run without new data, with its 420 events, this took half of the CPU time and two thirds of the elapsed time.
    The UI shows the events of such a run only after the run has ended.
    """
    storage = instance.event_log_storage
    if type(storage) is not SqliteEventLogStorage:
        yield
        return
    engines: dict[str, Engine] = {}
    with ExitStack() as until_closed:

        @contextmanager
        def connect(shard: str) -> Iterator[Connection]:
            if shard not in engines:
                # Dagster creates the tables of a new database.
                with opened_by_dagster(shard):
                    pass
                engine = create_engine(
                    storage.conn_string_for_shard(shard), poolclass=SingletonThreadPool, connect_args={"timeout": _SECONDS_TO_WAIT}
                )
                until_closed.callback(engine.dispose)
                engines[shard] = engine
            with storage._db_lock, engines[shard].begin() as connection:
                yield connection

        opened_by_dagster, looked_up_by_dagster = storage._connect, storage.has_table
        storage._connect = connect
        # Dagster calls it for every event of a check, with a connection of its own.
        storage.has_table = cache(looked_up_by_dagster)
        try:
            yield
        finally:
            storage._connect, storage.has_table = opened_by_dagster, looked_up_by_dagster


def prepare_home(settings: Settings) -> Path:
    """Return Dagster's home. If DAGSTER_HOME is not set, write its configuration below the data folder, which must exist."""
    given = dagster_home_set()
    if given is not None:
        return given
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
    # A home that is not writable, such as that of deploy/, has its databases elsewhere.
    return FileLock(home / ".opening.lock") if os.access(home, os.W_OK) else nullcontext()

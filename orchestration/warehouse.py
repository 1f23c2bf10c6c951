"""The working DuckDB file: one writer at a time, and every connection with the same settings."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
from filelock import FileLock, Timeout

from orchestration.errors import StartsError
from orchestration.settings import Settings

# A writer killed a moment ago may still be going down; DuckDB's own lock goes with its process.
_WAIT_FOR_FILE_SECONDS = 20.0


@contextmanager
def writer_lock(settings: Settings) -> Iterator[None]:
    """Hold the right to write below the data folder, or raise `StartsError` at once.

    The lock is the operating system's (flock), so a killed run never leaves it behind.
    """
    prepare_data_folder(settings)
    lock = FileLock(settings.lock_path, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise StartsError(
            f"Another run is writing to {settings.data}. Wait for it to finish and run again, "
            "or set STARTS_DATA to another folder. Nothing was changed."
        ) from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def writer_lock_where_landed(settings: Settings) -> Iterator[None]:
    """Hold the writer's lock on a warehouse in which a run has landed; else raise `StartsError` and leave no file behind."""
    nothing_landed = StartsError(
        "Nothing has landed yet: run the job first. "
        f"If it has run with another data folder than {settings.data}, set STARTS_DATA to that one."
    )
    if not settings.warehouse_path.exists():
        raise nothing_landed
    with writer_lock(settings):
        with open_warehouse(settings) as connection:
            tables = connection.execute("from duckdb_tables() where schema_name = 'raw' and table_name = 'landed_files'").fetchall()
        if not tables:
            raise nothing_landed
        yield


def prepare_data_folder(settings: Settings) -> None:
    """Create the data folder and prove that it can be written to. Raises `StartsError`."""
    probe = settings.data / f".write-test-{time.time_ns()}"
    try:
        settings.data.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise StartsError(
            f"The data folder {settings.data} cannot be written to ({error.strerror}). "
            "Give this user the right to write there, or set STARTS_DATA to another folder."
        ) from error


@contextmanager
def open_warehouse(settings: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the working file for the time of a `with` block; times are read and written as UTC."""
    connection = _connect(settings)
    try:
        connection.execute("set timezone = 'UTC'")
        yield connection
    finally:
        connection.close()


def _connect(settings: Settings) -> duckdb.DuckDBPyConnection:
    give_up_at = time.monotonic() + _WAIT_FOR_FILE_SECONDS
    while True:
        try:
            return duckdb.connect(str(settings.warehouse_path))
        except duckdb.IOException as error:
            if "lock" not in str(error).lower():
                raise StartsError(f"The warehouse {settings.warehouse_path} cannot be opened: {error}") from error
            if time.monotonic() > give_up_at:
                raise StartsError(
                    f"Another program holds {settings.warehouse_path} open. Close it and run again; "
                    f"BI tools and notebooks read {settings.published_database} instead."
                ) from error
            time.sleep(0.25)

"""The working DuckDB file: one writer at a time, and the same settings for every connection."""

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from threading import Lock

import duckdb
from filelock import FileLock, Timeout

from orchestration.errors import (
    QUOTED_FILE,
    LockedError,
    StartsError,
    chain_of,
    explain_error,
    is_locked_by_another_process,
    operator_errors,
    path_conflict_error,
    text_of_machine_error,
)
from orchestration.file_rights import restrict_existing_files
from orchestration.files import read_start
from orchestration.installation import command
from orchestration.landing.migrations import RAW_SCHEMA_VERSION, prepare_raw_schema, raw_schema_version
from orchestration.memory import limit_memory
from orchestration.settings import Settings

# A writer that was just killed may still be exiting; DuckDB's own lock ends with its process.
_WAIT_FOR_FILE_SECONDS = 20.0

# Messages of DuckDB 1.5. DuckDB reports a damaged file with one of them when it opens the file or reads the damaged block.
_DAMAGED = re.compile(
    r"Corrupt (?:database|WAL) file|not a valid DuckDB database file|Failure while replaying WAL|Could not read enough bytes from file"
    r"|older development version of DuckDB|created with DuckDB version|database has been invalidated because of a previous fatal error"
)
# What DuckDB raises for damage that no checksum detects.
_CORRUPTION_ERRORS = (duckdb.InternalException, duckdb.FatalException, duckdb.SerializationException)
_NEWER = re.compile(r"created with a newer version of DuckDB")

# DuckDB's lock on a file belongs to the process (fcntl): closing any other descriptor of the file releases it, and DuckDB continues to
# write without it. So we read the file directly only while this process has no connection to it. Connections are counted by path,
# because DuckDB shares open files by path.
_open_connections: Counter[Path] = Counter()
_opening = Lock()

# The main header: a checksum of 8 bytes, then the magic bytes.
_MAGIC, _MAGIC_OFFSET = b"DUCK", 8


class DamagedWarehouseError(StartsError):
    """The warehouse cannot be read and must be rebuilt from the landing zone."""


@contextmanager
def writer_lock(settings: Settings) -> Iterator[None]:
    """Hold the lock for writing below the data folder, or raise `LockedError` at once.

    It is a lock of the operating system (flock), so a killed run never leaves it behind.
    """
    prepare_data_folder(settings)
    lock = FileLock(settings.lock_path, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise LockedError(
            f"Another run is writing to {settings.data}. Wait for it to finish and run again, "
            "or set STARTS_DATA to another folder. Nothing was changed."
        ) from None
    try:
        remove_draft(settings)
        yield
    finally:
        lock.release()


@contextmanager
def writer_lock_if_landed(settings: Settings) -> Iterator[None]:
    """Hold the writer's lock on a warehouse with landed data; without one, raise `StartsError` and leave no file behind."""
    if not settings.warehouse_path.exists():
        raise _nothing_landed(settings)
    with warehouse_errors(settings), writer_lock(settings):
        with open_warehouse(settings) as connection:
            tables = connection.execute("from duckdb_tables() where schema_name = 'raw' and table_name = 'landed_files'").fetchall()
        if not tables:
            raise _nothing_landed(settings)
        yield


def prepare_data_folder(settings: Settings) -> None:
    """Create the data folder and check that it is writable. Raises `StartsError`."""
    probe = settings.data / f".write-test-{time.time_ns()}"
    try:
        settings.data.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
        restrict_existing_files(settings)
    except OSError as error:
        raise _unusable_data_folder(settings.data, error) from error


def _unusable_data_folder(folder: Path, error: OSError) -> StartsError:
    if isinstance(error, FileExistsError | NotADirectoryError):
        return StartsError(f"STARTS_DATA is {folder}, which is a file or below one: set it to a folder.")
    if isinstance(error, PermissionError):
        return StartsError(
            f"The data folder {folder} cannot be written to ({error.strerror}). "
            "Give this user the right to write there, or set STARTS_DATA to another folder."
        )
    # The name of the probe would only confuse.
    about_folder = OSError(error.errno, error.strerror, str(folder))
    return explain_error(about_folder) or StartsError(f"The data folder {folder} cannot be used ({error.strerror}).")


@contextmanager
def open_warehouse(settings: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the working file for a `with` block; times are read and written as UTC.

    A warehouse of an older version of the project is migrated. Raises `StartsError` for a newer version and for errors that the
    operator can fix, also inside the block, and `DamagedWarehouseError` if the file cannot be read.
    """
    with warehouse_errors(settings):
        _prepare_path(settings.warehouse_path)
        with _connected(settings, _connect_when_free) as connection:
            configure(connection, settings)
            if raw_schema_version(connection):
                prepare_raw_schema(connection)
            yield connection


def configure(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Set the options that all connections of this process to the file share, including dbt's, while at least one is open.

    Only the holder of the writer's lock may call it: two programs that spill to the same folder disturb each other.
    """
    connection.execute("set timezone = 'UTC'")
    limit_memory(connection, settings.memory_bytes)
    # DuckDB spills to the data folder, which needs room for the warehouse anyway: that is slower, but does not fail.
    folder = str(settings.spill_dir)
    if connection.execute("select current_setting('temp_directory')").fetchone() != (folder,):
        # DuckDB rejects a second value once it uses the folder.
        connection.execute("set temp_directory = $folder", {"folder": folder})


@contextmanager
def read_warehouse(settings: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the working file for reading in a `with` block, while no run is active; a run that starts meanwhile waits.

    It does not take the writer's lock, which would make that run fail. Raises `StartsError` if nothing has landed, if a run holds the
    file, and for a warehouse of another version of the project.
    """
    if not settings.warehouse_path.exists():
        raise _nothing_landed(settings)
    with warehouse_errors(settings), _connected(settings, _connect_to_read) as connection:
        connection.execute("set timezone = 'UTC'")
        limit_memory(connection, settings.memory_bytes)
        version = raw_schema_version(connection)
        if version == 0:
            raise _nothing_landed(settings)
        if version != RAW_SCHEMA_VERSION:
            raise StartsError(f"The warehouse {settings.warehouse_path} belongs to another version of this project: run the job first.")
        yield connection


def _nothing_landed(settings: Settings) -> StartsError:
    return StartsError(
        "Nothing has landed yet: run the job first. "
        f"If it ran with a data folder other than {settings.data}, set STARTS_DATA to that folder."
    )


def warehouse_errors(settings: Settings) -> AbstractContextManager[None]:
    """Raise errors that an operator can fix as `StartsError`: a damaged warehouse, a full disk, a missing right."""
    return operator_errors(partial(explain_warehouse_error, settings))


def explain_warehouse_error(settings: Settings, error: BaseException) -> StartsError | None:
    """Return what an operator can do about an error of DuckDB, dbt or the system; None if only a developer can fix it."""
    for text in filter(None, map(text_of_machine_error, chain_of(error))):
        named = QUOTED_FILE.search(text)
        is_ours = named is None or Path(named[1]) in (settings.warehouse_path, _log_of(settings.warehouse_path))
        if is_ours and _DAMAGED.search(text):
            return _damaged(settings, text.splitlines()[0])
    return explain_error(error)


def _damaged(settings: Settings, detail: str) -> DamagedWarehouseError:
    return DamagedWarehouseError(
        f"The warehouse {settings.warehouse_path} is damaged ({detail}). The published data can still be read. Rebuild the warehouse "
        f"from the landing zone: `{command()} rebuild --from-landing`. Records from files that are no longer in the landing zone "
        "are lost, so put those files back first if you have them."
    )


def remove_warehouse(settings: Settings) -> None:
    """Delete the working file and its write-ahead log; the caller holds the writer's lock."""
    # The log first: a log without its database is harmless, but DuckDB would replay a log that lies beside a new database.
    for path in (_log_of(settings.warehouse_path), settings.warehouse_path):
        path.unlink(missing_ok=True)


def draft_of_warehouse(settings: Settings) -> Path:
    """Return the path of the draft of a new warehouse, which later replaces the old one."""
    return settings.warehouse_path.with_name(".warehouse.duckdb.draft")


def remove_draft(settings: Settings) -> None:
    """Delete the draft of a new warehouse that was not put in place: it takes as much space as the old one."""
    draft = draft_of_warehouse(settings)
    for path in (draft, _log_of(draft)):
        path.unlink(missing_ok=True)


@contextmanager
def _connected(settings: Settings, connect: Callable[[Settings], duckdb.DuckDBPyConnection]) -> Iterator[duckdb.DuckDBPyConnection]:
    connection = connect(settings)
    try:
        yield connection
    finally:
        with _opening:
            connection.close()
            _open_connections[settings.warehouse_path] -= 1


def _connect_to_read(settings: Settings) -> duckdb.DuckDBPyConnection:
    try:
        return _connect(settings, read_only=True)
    except duckdb.IOException as error:
        if not is_locked_by_another_process(error):
            raise
        raise LockedError(f"A run holds {settings.warehouse_path} open: try again when it has finished.") from error


def _connect_when_free(settings: Settings) -> duckdb.DuckDBPyConnection:
    give_up_at = time.monotonic() + _WAIT_FOR_FILE_SECONDS
    while True:
        try:
            return _connect(settings)
        except duckdb.IOException as error:
            if not is_locked_by_another_process(error):
                raise
            if time.monotonic() > give_up_at:
                raise LockedError(
                    f"Another program holds {settings.warehouse_path} open. Close it and run again; "
                    f"BI tools and notebooks read {settings.published_database} instead."
                ) from error
            time.sleep(0.25)


def _connect(settings: Settings, *, read_only: bool = False) -> duckdb.DuckDBPyConnection:
    """Open the existing file and count the connection. Raises DuckDB's error if another program holds the file."""
    path = settings.warehouse_path
    with _opening:
        if not _open_connections[path] and not _is_duckdb_file(path):
            # For a SQLite file, DuckDB would look for an extension on the internet.
            raise _damaged(settings, "it is not a DuckDB file")
        try:
            connection = duckdb.connect(str(path), read_only=read_only)
        except _CORRUPTION_ERRORS as error:
            raise _damaged(settings, str(error).splitlines()[0]) from error
        except duckdb.IOException as error:
            if not _NEWER.search(str(error)):
                raise
            raise StartsError(
                f"The warehouse {path} was written by a newer version of DuckDB than {duckdb.__version__}, which runs here. "
                "Update this installation, or set STARTS_DATA to another folder."
            ) from error
        _open_connections[path] += 1
    return connection


def _prepare_path(path: Path) -> None:
    """Check the path of the file, and create the file if it does not exist."""
    _check_path(path)
    if not path.exists():
        _create(path)


def _check_path(path: Path) -> None:
    """Raise `StartsError` for a broken link, or for a log that is not a file: DuckDB would wait for a named pipe."""
    if path.is_symlink() and not path.exists():
        # A new warehouse in its place would contain only what is still in the landing zone.
        raise StartsError(
            f"{path} is a link to {path.readlink()}, which does not exist. Mount its disk, "
            "or remove the link to start with a new warehouse."
        )
    if _log_of(path).exists() and not _log_of(path).is_file():
        raise path_conflict_error(_log_of(path))


def _create(path: Path) -> None:
    """Create an empty database atomically: a kill or a full disk must not leave half a file that no later run can open."""
    draft = path.with_name(f".{path.name}.new")
    remove = (draft, _log_of(draft), _log_of(path))
    for left_over in remove:
        left_over.unlink(missing_ok=True)
    duckdb.connect(str(draft)).close()
    draft.replace(path)


def _is_duckdb_file(path: Path) -> bool:
    return read_start(path, _MAGIC_OFFSET + len(_MAGIC))[_MAGIC_OFFSET:] == _MAGIC


def _log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.wal")

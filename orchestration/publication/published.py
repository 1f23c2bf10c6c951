"""Open the published file, for everything that is made from it."""

from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

from orchestration.errors import StartsError
from orchestration.memory import limit_memory
from orchestration.publication.masking import masking_fingerprint
from orchestration.publication.source import published_source
from orchestration.publication.versions import DATABASE, Version, current_version
from orchestration.settings import Settings

# Parts of DuckDB's error messages about a damaged file.
_SIGNS_OF_DAMAGE = ("corrupt", "not a valid duckdb database", "serialization error", "checksum")
_LOCKED = "Could not set lock"


@contextmanager
def open_published(settings: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the published file for reading, with UTC as the time zone.

    Raises `StartsError` if there is none, if another program has changed it, or if data that is read from it is damaged.
    """
    try:
        with _connection(settings) as published:
            published.execute("set timezone = 'UTC'")
            limit_memory(published, settings.memory_bytes)
            yield published
    except duckdb.Error as error:
        if not any(sign in str(error).lower() for sign in _SIGNS_OF_DAMAGE):
            raise
        raise StartsError(
            f"{settings.published_database} is damaged ({error}). Delete it and run the job again, which rewrites it."
        ) from error


def check_settings(published: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Raise `StartsError` if the file was published with another contacts setting (plain or masked), key or time zone."""
    source = published_source(published)
    if source.report_timezone != settings.report_timezone:
        raise StartsError(
            f"STARTS_REPORT_TIMEZONE is {settings.report_timezone}, but the report was published in the time zone "
            f"{source.report_timezone}. Set it back, or run the job first, which publishes everything again."
        )
    if source.masking_fingerprint != masking_fingerprint(settings):
        raise StartsError(
            "STARTS_CONTACTS or STARTS_MASK_KEY changed since the last publication. Run the job first, which publishes everything again."
        )


def is_locked_for_writing(version: Version) -> bool:
    """Return whether another program has a version's file open for writing, which locks out every reader."""
    try:
        duckdb.connect(str(version.database), read_only=True).close()
    except duckdb.IOException as error:
        return _LOCKED in str(error)
    except duckdb.Error:
        return False
    return False


def _connection(settings: Settings) -> duckdb.DuckDBPyConnection:
    while True:
        version = _intact_version(settings)
        try:
            return duckdb.connect(str(version.database), read_only=True)
        except duckdb.IOException as error:
            if current_version(settings) != version:
                # Meanwhile, a publication has replaced it.
                continue
            if _LOCKED not in str(error):
                raise
            raise StartsError(
                f"Another program holds {settings.published_database} open for writing, so no other program can read it. Close "
                "that program, or run the job, which publishes a copy. BI tools must open the file read-only."
            ) from error


def _intact_version(settings: Settings) -> Version:
    version = current_version(settings)
    if version is None:
        raise StartsError(f"Nothing is published yet in {settings.published_dir}. Run the job conversation_starts first.")
    log = version.database.with_name(f"{DATABASE}.wal")
    if DATABASE not in version.intact_files() or log.exists():
        raise StartsError(
            f"{settings.published_database} is not as it was published: another program has changed it, or an earlier version of "
            "this project published it. Run the job again, which rewrites it."
        )
    return version

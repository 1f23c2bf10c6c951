"""The published file, as everything finds it that is made from it."""

from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

from orchestration.errors import StartsError
from orchestration.memory import limit_memory
from orchestration.publication.masking import masking_fingerprint
from orchestration.publication.source import published_source
from orchestration.publication.versions import DATABASE, Version, current_version
from orchestration.settings import Settings

# How DuckDB begins to say that a file is not what it wrote.
_SIGNS_OF_DAMAGE = ("corrupt", "not a valid duckdb database", "serialization error", "checksum")
_LOCKED = "Could not set lock"


@contextmanager
def open_published(settings: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the published file to read it, with times as UTC.

    Raises `StartsError` where there is none, where another program has changed it, or where what is read of it is damaged.
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
            f"{settings.published_database} is damaged ({error}). Delete it and run the job again: it is written again."
        ) from error


def check_settings(published: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Raise `StartsError` where the file was published with other contacts, plain or masked, under another key, or for another zone."""
    source = published_source(published)
    if source.report_timezone != settings.report_timezone:
        raise StartsError(
            f"STARTS_REPORT_TIMEZONE is {settings.report_timezone}, but the report was published with the days of "
            f"{source.report_timezone}. Set it to that, or run the job first: it publishes everything again."
        )
    if source.masking_fingerprint != masking_fingerprint(settings):
        raise StartsError(
            "STARTS_CONTACTS or STARTS_MASK_KEY changed since the last publication. Run the job first: it publishes everything again."
        )


def is_held_for_writing(version: Version) -> bool:
    """Say whether another program has a version's file open read-write, which keeps every reader out."""
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
                # A publication has replaced it meanwhile.
                continue
            if _LOCKED not in str(error):
                raise
            raise StartsError(
                f"Another program holds {settings.published_database} open for writing, so no other program can read it. Close it, "
                "or run the job: it publishes a copy. BI tools have to open the file read-only."
            ) from error


def _intact_version(settings: Settings) -> Version:
    version = current_version(settings)
    if version is None:
        raise StartsError(f"Nothing is published yet in {settings.published_dir}. Run the job conversation_starts first.")
    log = version.database.with_name(f"{DATABASE}.wal")
    if DATABASE not in version.intact_files() or log.exists():
        raise StartsError(
            f"{settings.published_database} is not as it was published: another program has changed it, or it was published by an "
            "earlier version of this project. Run the job again: it writes it again."
        )
    return version

"""The published file, as everything finds it that is made from it."""

from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

from orchestration.errors import StartsError
from orchestration.settings import Settings

# How DuckDB begins to say that a file is not what it wrote.
_SIGNS_OF_DAMAGE = ("corrupt", "not a valid duckdb database", "serialization error", "checksum")


@contextmanager
def open_published(settings: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the published file to read it, with times as UTC.

    Raises `StartsError` where there is none, or what is read of it is damaged.
    """
    path = settings.published_database
    if not path.exists():
        raise StartsError(f"Nothing is published yet in {settings.published_dir}. Run the job conversation_starts first.")
    try:
        with duckdb.connect(str(path), read_only=True) as published:
            published.execute("set timezone = 'UTC'")
            yield published
    except duckdb.Error as error:
        if not any(sign in str(error).lower() for sign in _SIGNS_OF_DAMAGE):
            raise
        raise StartsError(f"{path} is damaged ({error}). Delete it and run the job again: it is written anew.") from error

"""Transactions of DuckDB as `with` blocks."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import duckdb


@contextmanager
def transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Commit what a `with` block does, or nothing of it."""
    connection.execute("begin")
    try:
        yield
        connection.execute("commit")
    except BaseException:
        # A commit that fails, for lack of space for example, has already ended the transaction; the error to show is that one.
        with suppress(duckdb.Error):
            connection.execute("rollback")
        raise

"""DuckDB transactions as `with` blocks."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import duckdb


@contextmanager
def transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Run a `with` block in a transaction: commit it, or roll it back on an error."""
    connection.execute("begin")
    try:
        yield
        connection.execute("commit")
    except BaseException:
        # A failed commit, for example for lack of space, has already ended the transaction; that error is the one to show.
        with suppress(duckdb.Error):
            connection.execute("rollback")
        raise

"""Read again what was rejected, after the parser or the limits have changed.

A mended file is a new content and lands by itself. This is for files that were right all along.
"""

import duckdb

from orchestration.landing.feeds import FEEDS
from orchestration.landing.land import still_known
from orchestration.landing.zone import LandingZone
from orchestration.transactions import transaction
from orchestration.transform.builds import invalidate_builds


def forget_files_with_rejections(connection: duckdb.DuckDBPyConnection, zone: LandingZone) -> list[str]:
    """Take back every content of which a record was rejected and which lies in the landing zone now; return its files' names."""
    return _forget_files(connection, zone, "rejected > 0")


def forget_files_with_erasures(connection: duckdb.DuckDBPyConnection, zone: LandingZone) -> list[str]:
    """Take back every content of which a record was erased or withheld, as above: for a person who is let back in."""
    return _forget_files(connection, zone, "erased > 0")


def _forget_files(connection: duckdb.DuckDBPyConnection, zone: LandingZone, condition: str) -> list[str]:
    """Forget the contents of a condition on the ledger that lie in the landing zone now; return their files' names.

    One transaction; what other contents gave stays. The next run reads these files as new ones.
    """
    with transaction(connection):
        for feed in FEEDS:
            still_known(connection, feed, zone.files(feed.name))
        files = _forget(connection, condition)
        if files:
            # State models have counted the rows that are gone.
            invalidate_builds(connection)
    return files


def _forget(connection: duckdb.DuckDBPyConnection, condition: str) -> list[str]:
    connection.execute(
        f"""
        create or replace temp table contents_to_forget as
        select feed, file_name, content_sha256, load_id
        from raw.landed_files
        where
            {condition}
            and (feed, content_sha256) in (select (feed, content_sha256) from raw.landing_listing)
        """
    )
    for table in [table for feed in FEEDS for table in feed.tables]:
        connection.execute(f"delete from raw.{table} where (_file_name, _load_id) in (select (file_name, load_id) from contents_to_forget)")
    for table in ("rejected_records", "landed_files", "landing_listing"):
        connection.execute(
            f"delete from raw.{table} where (feed, content_sha256) in (select (feed, content_sha256) from contents_to_forget)"
        )
    return [name for (name,) in connection.execute("select file_name from contents_to_forget order by file_name").fetchall()]

"""Read again what was rejected, after the parser or the limits have changed.

A corrected file is a new content and lands by itself. This is for files that were right all along.
"""

import duckdb

from orchestration.landing.feeds import FEEDS
from orchestration.landing.ledger import known_names
from orchestration.landing.zone import LandingZone
from orchestration.transactions import transaction


def forget_files_with_rejections(connection: duckdb.DuckDBPyConnection, zone: LandingZone) -> list[str]:
    """Forget that those contents were read of which a record was rejected and which lie in the landing zone now.

    Returns their files' names. The next run reads them again, as after an upgrade of the reader, and puts what they hold in
    place of what they gave, in one transaction: nothing is lost if it does not come to that.
    """
    return _forget_files(connection, zone, "rejected > 0")


def forget_files_with_erasures(connection: duckdb.DuckDBPyConnection, zone: LandingZone) -> list[str]:
    """Forget, as above, the contents of which a record was erased or withheld: for a person who is let back in."""
    return _forget_files(connection, zone, "erased > 0")


def _forget_files(connection: duckdb.DuckDBPyConnection, zone: LandingZone, condition: str) -> list[str]:
    """Mark the contents of a condition on the ledger as read by no version of the reader, if they lie in the zone."""
    forgotten: list[str] = []
    with transaction(connection):
        for feed in FEEDS:
            names = known_names(connection, zone, feed, zone.files(feed.name))
            rows = connection.execute(
                f"""
                update raw.landed_files set reader_version = 0
                where feed = $feed and {condition} and content_sha256 in (
                    select content_sha256 from raw.landing_listing where feed = $feed and file_name in (select unnest($names))
                )
                returning file_name
                """,
                {"feed": feed.name, "names": list(names)},
            ).fetchall()
            forgotten += [name for (name,) in rows]
    return sorted(forgotten)

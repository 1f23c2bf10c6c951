"""Read again what was rejected, after the parser or the limits have changed.

A corrected file is a new content and lands by itself. This is for files that were right all along.
"""

import duckdb

from orchestration.landing.feeds import FEEDS
from orchestration.landing.ledger import known_names
from orchestration.landing.zone import LandingZone
from orchestration.transactions import transaction

# Stands for a content that no version of the reader has read.
_FORGOTTEN = 0


def forget_files_with_rejections(connection: duckdb.DuckDBPyConnection, zone: LandingZone) -> list[str]:
    """Forget that those contents were read of which a record was rejected and which lie in the landing zone now.

    Returns their files' names. The next run reads them again, as after an upgrade of the reader, and puts what they hold in
    place of what they gave, in one transaction: nothing is lost if it does not come to that. A file that was copied or touched
    counts by its name: only the next run looks into it.
    """
    forgotten: list[str] = []
    with transaction(connection):
        for feed in FEEDS:
            files = zone.files(feed.name)
            known = known_names(connection, zone, feed, files)
            rows = connection.execute(
                f"""
                update raw.landed_files set reader_version = {_FORGOTTEN}
                where feed = $feed and rejected > 0 and (
                    file_name in (select unnest($names))
                    or content_sha256 in (
                        select content_sha256 from raw.landing_listing where feed = $feed and file_name in (select unnest($known))
                    )
                )
                returning file_name
                """,
                {"feed": feed.name, "names": [file.name for file in files if file.name not in known], "known": list(known)},
            ).fetchall()
            forgotten += [name for (name,) in rows]
    return sorted(forgotten)


def forget_files_with_erasures(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Forget, as above, every content of which a record was erased or withheld: for a person who is let back in.

    Not only those that lie in the landing zone as far as is known: whether a file that was copied, moved or put back holds one of them
    shows only when a run looks into it, and by then the person is no longer known as erased.
    """
    rows = connection.execute(f"update raw.landed_files set reader_version = {_FORGOTTEN} where erased > 0 returning file_name").fetchall()
    return sorted(name for (name,) in rows)

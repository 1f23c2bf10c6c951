"""Read files with rejected records again, after the parser or the limits have changed.

A corrected file has new content and lands by itself. A replay is for files that were right from the start.
"""

from collections.abc import Iterable

import duckdb

from orchestration.landing.feeds import FEEDS
from orchestration.landing.ledger import prune_listing
from orchestration.landing.zone import LandingZone
from orchestration.transactions import transaction

# The reader version of a content that is to be read again.
_TO_REREAD = 0


def mark_files_with_rejections_to_reread(connection: duckdb.DuckDBPyConnection, zone: LandingZone) -> list[str]:
    """Mark contents with rejected records that are in the landing zone now as unread, and return the names of their files.

    The next run reads them again, as after an upgrade of the reader, and replaces their earlier rows in one transaction, so a
    failed run loses nothing. A file that was copied or touched is matched by its name: only the next run reads its content.
    """
    forgotten: list[str] = []
    with transaction(connection):
        for feed in FEEDS:
            files = zone.files(feed.name)
            known = prune_listing(connection, zone, feed, files)
            rows = connection.execute(
                f"""
                update raw.landed_files set reader_version = {_TO_REREAD}
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


def mark_files_with_erasures_to_reread(
    connection: duckdb.DuckDBPyConnection, with_erased_texts: Iterable[tuple[str, int | None]]
) -> list[str]:
    """Mark every content with an erased record or text as unread when an erasure is revoked, and return the names of their files.

    `with_erased_texts` are the files and loads of `FILES_WITH_ERASED_TEXTS_SQL`. This includes contents that are not known to be in the
    landing zone. Only a run that reads a file that was copied, moved or put back sees such a record in it, and by then the person is no
    longer known as erased.
    """
    files = list(with_erased_texts)
    rows = connection.execute(
        f"""
        update raw.landed_files as f set reader_version = {_TO_REREAD}
        where erased > 0 or exists (
            select 1 from (select unnest($names::varchar[]) as file_name, unnest($load_ids::bigint[]) as load_id) as t
            where t.file_name = f.file_name and coalesce(t.load_id, f.load_id) = f.load_id
        )
        returning file_name
        """,
        {"names": [name for name, _ in files], "load_ids": [load_id for _, load_id in files]},
    ).fetchall()
    return sorted(name for (name,) in rows)

"""Start again from the landing zone if the warehouse is damaged: its files are the payload of record (contract, section 3)."""

from contextlib import suppress
from hashlib import sha256

import duckdb

from orchestration.errors import StartsError
from orchestration.landing.feeds import FEED_NAMES, FEEDS
from orchestration.landing.ledger import listed_contents
from orchestration.landing.listing import LandingFile, printable_name
from orchestration.landing.reading.streams import CHUNK_BYTES
from orchestration.landing.zone import LandingZone
from orchestration.settings import Settings
from orchestration.warehouse import DamagedWarehouseError, open_warehouse, remove_warehouse, writer_lock


def remove_warehouse_for_landing(settings: Settings) -> None:
    """Delete the warehouse, so that the next run reads the whole landing zone into a new one. Raises `StartsError`.

    Only the working file is deleted: published and exported files stay until the run replaces them, and the list of erased people is
    in `erased_people.json`. A readable warehouse is kept if it contains records that no file of the landing zone contains.
    """
    zone = LandingZone(settings.landing, FEED_NAMES)
    with writer_lock(settings):
        if settings.warehouse_path.exists():
            # A warehouse that is too damaged to be read is deleted in any case.
            with suppress(DamagedWarehouseError), open_warehouse(settings) as connection:
                refuse_to_lose_files(connection, zone, str(settings.warehouse_path))
        remove_warehouse(settings)


def refuse_to_lose_files(connection: duckdb.DuckDBPyConnection, zone: LandingZone, warehouse: str) -> None:
    """Raise `StartsError` if contents that landed are no longer in the zone under any name."""
    gone = _files_only_in_warehouse(connection, zone)
    if gone:
        names = ", ".join(map(printable_name, gone[:5]))
        raise StartsError(
            f"{len(gone):,} landed files are no longer in the landing zone, so their records would be lost: {names}"
            f"{', …' if len(gone) > 5 else ''}. Put them back if you have them. If the job does not report a damaged warehouse, `rebuild` "
            f"alone rebuilds the marts without reading files. To continue without these files, delete {warehouse} yourself and run the job."
        )


def _files_only_in_warehouse(connection: duckdb.DuckDBPyConnection, zone: LandingZone) -> list[str]:
    """Return the names under which contents landed that no file of the zone contains now.

    A file that has grown, and may have been renamed since, contains its earlier contents. One that was overwritten does not. If files did
    not have the content that landed when they were last listed, all are read: so does the run that follows.
    """
    names: list[str] = []
    for feed in FEEDS:
        landed = connection.execute(
            "select file_name, content_sha256, bytes from raw.landed_files where feed = $feed and landed > 0", {"feed": feed.name}
        ).fetchall()
        files = [file for file in zone.files(feed.name) if file.problem is None]
        listed = set(listed_contents(connection, feed, files).values())
        gone = [entry for entry in landed if entry[1] not in listed]
        for file in files:
            hashes = _hashes_of_starts(zone, file, sorted({size for _, _, size in gone if size <= file.bytes}))
            gone = [entry for entry in gone if entry[1] not in hashes]
        names += [name for name, _, _ in gone]
    return sorted(set(names))


def _hashes_of_starts(zone: LandingZone, file: LandingFile, sizes: list[int]) -> set[str]:
    """Return the sha256 of the first bytes of a file, for each of these sizes (in ascending order)."""
    hashes: set[str] = set()
    if not sizes:
        return hashes
    with zone.local_copies([file]) as (copy,), suppress(OSError):
        if copy.error is None:
            with copy.path.open("rb") as content:
                digest, position = sha256(), 0
                for size in sizes:
                    while position < size and (piece := content.read(min(size - position, CHUNK_BYTES))):
                        digest.update(piece)
                        position += len(piece)
                    if position == size:
                        hashes.add(digest.hexdigest())
    return hashes

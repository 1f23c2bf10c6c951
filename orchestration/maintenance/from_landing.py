"""Start again from the landing zone if the warehouse is damaged: its files are the payload of record (contract, section 3)."""

from contextlib import suppress

import duckdb

from orchestration.errors import StartsError
from orchestration.landing.feeds import FEED_NAMES
from orchestration.landing.listing import printable_name
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
    """Raise `StartsError` if landed files are no longer in the zone under any name."""
    gone = _files_only_in_warehouse(connection, zone)
    if gone:
        names = ", ".join(map(printable_name, gone[:5]))
        raise StartsError(
            f"{len(gone):,} landed files are no longer in the landing zone, so their records would be lost: {names}"
            f"{', …' if len(gone) > 5 else ''}. The parts of the warehouse that were read are not damaged: `rebuild` alone rebuilds the "
            f"marts without reading files. To continue without these files, delete {warehouse} yourself and run the job."
        )


def _files_only_in_warehouse(connection: duckdb.DuckDBPyConnection, zone: LandingZone) -> list[str]:
    listed = [[feed, file.name] for feed in FEED_NAMES for file in zone.files(feed)]
    rows = connection.execute(
        """
        with in_zone as (select unnest($listed) as listed)
        select distinct f.file_name
        from raw.landed_files as f
        where
            f.landed > 0
            and [f.feed, f.file_name] not in (select listed from in_zone)
            and [f.feed, f.content_sha256] not in (
                select [l.feed, l.content_sha256] from raw.landing_listing as l
                where [l.feed, l.file_name] in (select listed from in_zone)
            )
        order by f.file_name
        """,
        {"listed": listed},
    ).fetchall()
    return [name for (name,) in rows]

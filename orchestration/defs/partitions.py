"""The partitions of the daily TSVs, which show the existing files: a day with a file is materialised, a day without one is missing."""

from collections.abc import Iterable, Mapping
from datetime import date

from dagster import AssetKey, AssetMaterialization, DagsterEventType, DagsterInstance
from dagster._core.storage.event_log.schema import AssetEventTagsTable, SqlEventLogStorageTable
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from sqlalchemy import select


def show_existing_days(instance: DagsterInstance, key: AssetKey, rows_of_days: Mapping[date, int], written: Iterable[date]) -> None:
    """Mark the partitions of days that were written or have no mark yet, and remove the marks of days that no longer have a file.

    The marks belong to no run: Dagster deletes the events of a run together with the run, but the files stay.
    """
    existing = {day.isoformat(): rows for day, rows in rows_of_days.items()}
    marked = instance.get_materialized_partitions(key)
    for day in sorted((existing.keys() - marked) | {day.isoformat() for day in written}):
        instance.report_runless_asset_event(AssetMaterialization(key, partition=day, metadata={"dagster/row_count": existing[day]}))
    if gone := marked - existing.keys():
        _remove_marks(instance, key, gone)


def _remove_marks(instance: DagsterInstance, key: AssetKey, partitions: Iterable[str]) -> None:
    """Delete the materialisations of some partitions. Dagster's own storages can only wipe a whole asset."""
    events = instance.event_log_storage
    if not isinstance(events, SqlEventLogStorage):
        return
    table, tags = SqlEventLogStorageTable, AssetEventTagsTable
    of_partitions = (
        (table.c.asset_key == key.to_string())
        & table.c.partition.in_(list(partitions))
        & (table.c.dagster_event_type == DagsterEventType.ASSET_MATERIALIZATION.value)
    )
    with events.index_connection() as connection:
        connection.execute(tags.delete().where(tags.c.event_id.in_(select(table.c.id).where(of_partitions))))
        connection.execute(table.delete().where(of_partitions))
    # A cached status only considers events after its creation.
    events.wipe_asset_cached_status(key)

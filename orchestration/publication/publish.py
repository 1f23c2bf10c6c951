"""Publish the marts for BI: a DuckDB file and Parquet by month, shown together in one step or not at all.

The cost depends on the days that changed: their changed rows are replaced in a copy of the last published file, unless that file was
modified or damaged. A reader that has the old file open keeps reading it; the next reader to open the file gets the new one.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import duckdb

from orchestration.errors import StartsError, explain_error
from orchestration.files import copy_file, restrict_file, sync_file
from orchestration.installation import command
from orchestration.publication.differences import days_that_differ, parquet_that_differs
from orchestration.publication.draft import attached, write_marts
from orchestration.publication.marts import PUBLISHED_MARTS
from orchestration.publication.parquet import ChangedParts, DayPart, ReusableFile, RowsByDay, RowsByPart, write_parquet
from orchestration.publication.publish_info import write_publish_info
from orchestration.publication.published import is_locked_for_writing
from orchestration.publication.source import Source, changed_days_between, is_of_this_warehouse, source_of
from orchestration.publication.versions import (
    DATABASE,
    Version,
    VersionRecord,
    WrittenFile,
    activate_version,
    current_version,
    link_or_copy,
    new_version,
    recover_publication,
    written_file,
)
from orchestration.settings import Settings
from orchestration.transform.builds import BILL_FACTS, REPORT_FACTS, UNDATED, FinishedBuild


@dataclass
class Publication:
    """The result of a publication: rows by mart, net rows added, and the days that were replaced, of the report or bill (None: all).

    `rows_written` counts all rows of the replaced days by mart, changed or not. `damaged` lists the published files that were missing or
    modified and therefore rewritten.
    """

    changed: bool
    rows: dict[str, int] = field(default_factory=dict)
    net_rows_added: dict[str, int] = field(default_factory=dict)
    rows_written: dict[str, int] = field(default_factory=dict)
    days_replaced: list[date] | None = None
    damaged: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Work:
    """The work of a publication: replace the days of each mart in a copy of `base`, or write everything if there is no base.

    `is_locked` is true if another program has the base open for writing: readers then need a copy even if nothing changed.
    """

    base: Version | None
    days_by_mart: dict[str, list[date]]
    reusable: dict[str, ReusableFile]
    damaged: list[str]
    is_locked: bool = False

    @property
    def before(self) -> VersionRecord | None:
        return self.base.record if self.base is not None else None

    @property
    def days(self) -> list[date]:
        """Return the days to replace in any mart, oldest first."""
        return sorted({day for days in self.days_by_mart.values() for day in days})

    @property
    def is_changed(self) -> bool:
        """Return whether rows have to be written, and not only files repaired."""
        return self.base is None or bool(self.days)

    @property
    def is_empty(self) -> bool:
        return not self.is_changed and not self.damaged and not self.is_locked

    def unchanged(self) -> Publication:
        """Return the result of a publication that had nothing to do."""
        assert self.before is not None
        return Publication(changed=False, rows=self.before.rows, days_replaced=[])


def publish(warehouse: duckdb.DuckDBPyConnection, settings: Settings, build: FinishedBuild, *, thorough: bool = False) -> Publication:
    """Update the published files to a finished build; change no byte if nothing changed.

    The sizes and times of the published files are always checked; with `thorough`, every row is compared with the marts, too.
    """
    recover_publication(settings)
    source = source_of(settings, build)
    version = current_version(settings)
    work = work_of(warehouse, settings, version, source, thorough)
    if work.is_empty:
        return work.unchanged()
    try:
        return _publish_version(warehouse, settings, build, source, work)
    except duckdb.Error as error:
        # A full disk stays full.
        if work.base is None or explain_error(error) is not None:
            raise
        # The published file is damaged somewhere inside, so none of it can be reused.
        return _publish_version(warehouse, settings, build, source, _full_rewrite([DATABASE]))


def _full_rewrite(damaged: list[str]) -> Work:
    return Work(None, {}, {}, damaged)


def work_of(warehouse: duckdb.DuckDBPyConnection, settings: Settings, version: Version | None, source: Source, thorough: bool) -> Work:
    """Find what changed since the published version, and which of its files are missing or modified."""
    if version is None or version.record is None:
        return _full_rewrite([])
    intact = version.intact_files()
    of_report, of_bill = (changed_days_between(warehouse, version.record.source, source, facts) for facts in (REPORT_FACTS, BILL_FACTS))
    if of_report is None or of_bill is None:
        return _full_rewrite([])
    if DATABASE not in intact:
        return _full_rewrite([DATABASE])
    if thorough:
        try:
            found = days_that_differ(warehouse, settings, version, {*of_report, *of_bill})
        except duckdb.Error:
            return _full_rewrite([DATABASE])
        if found:
            return _full_rewrite([DATABASE])
        for name in parquet_that_differs(warehouse, version, intact):
            del intact[name]
    reusable = {name: ReusableFile(version.folder / name, file.rows) for name, file in intact.items() if name != DATABASE}
    damaged = [file.name for file in version.record.files if file.name not in intact]
    days = {mart.name: of_bill if mart.facts == BILL_FACTS else of_report for mart in PUBLISHED_MARTS}
    return Work(version, days, reusable, damaged, is_locked_for_writing(version))


def _publish_version(
    warehouse: duckdb.DuckDBPyConnection, settings: Settings, build: FinishedBuild, source: Source, work: Work
) -> Publication:
    current = current_version(settings)
    folder = new_version(settings)
    database = folder / DATABASE
    if work.base is not None:
        (copy_file if work.is_changed or work.is_locked else link_or_copy)(work.base.database, database)
        if DATABASE not in work.base.intact_files():
            # Another program wrote to the base while it was copied.
            return _publish_version(warehouse, settings, build, source, _full_rewrite([DATABASE]))
    with attached(warehouse, database, read_only=not work.is_changed):
        changed: dict[str, ChangedParts] = {mart.name: {} for mart in PUBLISHED_MARTS}
        if work.is_changed:
            changed |= write_marts(warehouse, settings, work.days_by_mart if work.base is not None else None)
            write_publish_info(warehouse, settings, build, source)
        rows_by_part = _verify(warehouse)
        parquet = write_parquet(warehouse, settings, folder, rows_by_part, changed, work.reusable, current.folder if current else None)
    restrict_file(database, settings, read_only=True)
    sync_file(database)
    rows_by_day = {mart: _by_day(parts) for mart, parts in rows_by_part.items()}
    return finish_version(warehouse, settings, folder, work, source, current, rows_by_day, [*parquet, written_file(folder, database)])


def finish_version(
    warehouse: duckdb.DuckDBPyConnection,
    settings: Settings,
    folder: Path,
    work: Work,
    source: Source,
    current: Version | None,
    rows_by_day: dict[str, RowsByDay],
    files: list[WrittenFile],
) -> Publication:
    """Replace the `current` version by a new one, whose `files` have been written; return the result of the publication."""
    rows = {mart: sum(days.values()) for mart, days in rows_by_day.items()}
    before = work.before
    if before is not None and not work.is_changed:
        source = before.source
    record = VersionRecord(
        source=source,
        rows=rows,
        files=files,
        keeps_previous=current is not None and _can_keep_for_readers(warehouse, current, source),
    )
    activate_version(settings, folder, record)
    rows_before = current.record.rows if current is not None and current.record is not None else {}
    return Publication(
        changed=True,
        rows=rows,
        net_rows_added={mart: count - rows_before.get(mart, 0) for mart, count in rows.items()},
        rows_written={
            mart: sum(count for day, count in days.items() if work.base is None or day in work.days_by_mart[mart])
            for mart, days in rows_by_day.items()
        },
        days_replaced=[day for day in work.days if day != UNDATED] if before is not None else None,
        damaged=work.damaged,
    )


def _can_keep_for_readers(warehouse: duckdb.DuckDBPyConnection, version: Version, now: Source) -> bool:
    """Return whether a version may be kept for its readers: not if it may contain erased people, or contacts with another mask."""
    before = version.record.source if version.record is not None else None
    return before is not None and before.masking_fingerprint == now.masking_fingerprint and is_of_this_warehouse(warehouse, before)


def _verify(warehouse: duckdb.DuckDBPyConnection) -> dict[str, RowsByPart]:
    """Compare the rows per day of the draft and the marts before a reader can see it; return the rows of each mart and part of a day."""
    expected, drafted = (_rows_by_mart_and_part(warehouse, schema) for schema in ("marts", "draft.main"))
    different = [name for name in expected if expected[name] != drafted[name]]
    if different:
        raise StartsError(
            f"What would be published differs from the marts in the rows per day of {', '.join(different)}; the published files were "
            f"left as they were. Run `{command()} rebuild`."
        )
    return drafted


def _rows_by_mart_and_part(warehouse: duckdb.DuckDBPyConnection, schema: str) -> dict[str, RowsByPart]:
    found: dict[str, RowsByPart] = {}
    for mart in PUBLISHED_MARTS:
        rows = warehouse.execute(f"select {mart.day}, {mart.is_late}, count(*) from {schema}.{mart.name} group by all").fetchall()
        found[mart.name] = {DayPart(day, is_late): count for day, is_late, count in rows}
    return found


def _by_day(rows_by_part: RowsByPart) -> RowsByDay:
    rows: RowsByDay = defaultdict(int)
    for part, count in rows_by_part.items():
        rows[part.day] += count
    return rows

"""Export the report as TSV: one file per report day, kept up to date."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from threading import local

import duckdb

from orchestration.exports.manifest import (
    ExportedFile,
    ExportSettings,
    Manifest,
    draft_of,
    file_name,
    manifest_written_at,
    read_manifest,
    recover_exports,
    remove_unlisted,
    replace_exports,
)
from orchestration.exports.on_demand import remove_all_on_demand, remove_old_on_demand
from orchestration.exports.tsv import prepare_cells, write_tsv
from orchestration.files import make_folder, restrict_file, sha256_of, sync_file
from orchestration.progress import report_progress
from orchestration.publication.published import check_settings, open_published
from orchestration.publication.source import Source, changed_days_between, is_of_this_warehouse, published_source
from orchestration.settings import Contacts, Settings
from orchestration.transform.builds import REPORT_FACTS


@dataclass
class DailyExports:
    """The result of a daily export: the files written and removed, the rows of all existing files by day, and the latest day's file.

    `damaged` lists files that were missing or changed since they were written, and were therefore rewritten.
    """

    written: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    rows_of_days: dict[date, int] = field(default_factory=dict)
    latest: Path | None = None

    @property
    def files(self) -> int:
        return len(self.rows_of_days)

    @property
    def rows(self) -> int:
        return sum(self.rows_of_days.values())

    @property
    def days_written(self) -> list[date]:
        written = set(self.written)
        return [day for day in self.rows_of_days if file_name(day) in written]


Drafts = dict[date, ExportedFile | None]
WriteDrafts = Callable[[duckdb.DuckDBPyConnection, Settings, list[date], datetime], Drafts]


def write_drafts(published: duckdb.DuckDBPyConnection, settings: Settings, days: list[date], now: datetime) -> Drafts:
    """Write each day's draft, as many at a time as DuckDB has threads; return each day's entry, or None for a day without rows.

    A day is one or two of DuckDB's row groups, which DuckDB writes with one thread. On 2 cores, a million rows in 62 days took 2.5 s
    two days at a time, and 3.4 s one day at a time.
    """
    threads = published.execute("select current_setting('threads')::integer").fetchone()
    assert threads is not None
    own = local()

    def open_cursor() -> None:
        own.cursor = published.cursor()
        prepare_cells(own.cursor)

    def write_draft(day: date) -> ExportedFile | None:
        draft = draft_of(settings, day)
        rows = write_tsv(own.cursor, draft, settings, "s.session_start_date = $day", {"day": day}, settings.language)
        if rows == 0:
            draft.unlink()
            return None
        restrict_file(draft, settings, read_only=True)
        sync_file(draft)
        return ExportedFile(
            file=file_name(day),
            report_date=day,
            rows=rows,
            bytes=draft.stat().st_size,
            sha256=sha256_of(draft),
            time_zone=settings.report_timezone,
            made_at=now,
        )

    drafted: Drafts = {}
    with ThreadPoolExecutor(threads[0], initializer=open_cursor) as pool:
        for day, entry in zip(days, pool.map(write_draft, days), strict=True):
            drafted[day] = entry
            report_progress(len(drafted), len(days), "days")
    return drafted


def export_days(
    warehouse: duckdb.DuckDBPyConnection,
    settings: Settings,
    requested_days: Iterable[date] = (),
    *,
    thorough: bool = False,
    write: WriteDrafts = write_drafts,
) -> DailyExports:
    """Rewrite the daily files whose bytes changed since the last export, from the published marts.

    The days `requested_days` are always checked, unless they are past retention; a file that already has the right bytes is not replaced.
    The size of every file is checked, and its hash if the file changed after the manifest was written, or with `thorough`. `write` is
    the function that writes the drafts. The caller holds the writer's lock.
    """
    make_folder(settings.exports_dir, settings)
    recover_exports(settings)
    manifest = read_manifest(settings)
    with open_published(settings) as published:
        check_settings(published, settings)
        return _export(warehouse, published, settings, manifest, set(requested_days), thorough, write)


def _export(
    warehouse: duckdb.DuckDBPyConnection,
    published: duckdb.DuckDBPyConnection,
    settings: Settings,
    manifest: Manifest | None,
    requested_days: set[date],
    thorough: bool,
    write: WriteDrafts,
) -> DailyExports:
    source, now = published_source(published), datetime.now(UTC).replace(microsecond=0)
    known = manifest.by_day if manifest else {}
    first_day = settings.first_day_kept(now)
    trusted_until = None if thorough else manifest_written_at(settings)
    damaged = {day for day, entry in known.items() if not _matches_entry(settings, entry, trusted_until)}
    days_published = {day for (day,) in published.execute("select distinct session_start_date from session_starts_daily").fetchall()}
    changed = _changed_days(warehouse, settings, manifest, source)
    days = (set(known) | days_published) if changed is None else {*changed, *damaged, *(days_published - set(known))}
    drafted = write(published, settings, sorted(day for day in days | requested_days if day >= first_day), now)
    kept = {day: entry for day, entry in known.items() if day >= first_day and day not in drafted}
    entries = {**kept, **{day: _entry(known.get(day), entry) for day, entry in drafted.items() if entry is not None}}
    written = _drop_equal_drafts(settings, [entries[day] for day in drafted if day in entries])
    removed = sorted(set(known) - set(entries))
    after = Manifest(settings=_settings_of(settings), publication=source, made_at=now, files=[entries[day] for day in sorted(entries)])
    if manifest is None or written or removed or after.model_copy(update={"made_at": manifest.made_at}) != manifest:
        replace_exports(settings, after, removed)
    return DailyExports(
        written=written,
        removed=[
            *(file_name(day) for day in removed),
            *(remove_unlisted(settings, after) if manifest is None else []),
            *_remove_on_demand(warehouse, settings, manifest, source, first_day),
        ],
        damaged=[known[day].file for day in sorted(damaged) if day >= first_day],
        rows_of_days={day: entry.rows for day, entry in entries.items()},
        latest=settings.exports_dir / file_name(max(entries)) if entries else None,
    )


def _settings_of(settings: Settings) -> ExportSettings:
    return ExportSettings(time_zone=settings.report_timezone, language=settings.language.value)


def _changed_days(warehouse: duckdb.DuckDBPyConnection, settings: Settings, manifest: Manifest | None, source: Source) -> list[date] | None:
    """Return the report days that changed since the last export, or None if all days must be exported."""
    if manifest is None or manifest.settings != _settings_of(settings):
        return None
    return changed_days_between(warehouse, manifest.publication, source, REPORT_FACTS)


def _matches_entry(settings: Settings, entry: ExportedFile, trusted_until: int | None = None) -> bool:
    """Compare a file with its entry: by size, and by hash unless its mtime is no later than `trusted_until` (nanoseconds)."""
    path = settings.exports_dir / entry.file
    if not path.is_file():
        return False
    found = path.stat()
    is_trusted = trusted_until is not None and found.st_mtime_ns <= trusted_until
    return found.st_size == entry.bytes and (is_trusted or sha256_of(path) == entry.sha256)


def _entry(before: ExportedFile | None, drafted: ExportedFile) -> ExportedFile:
    """Return a file's new entry, or the previous one, with its `made_at`, if nothing else differs."""
    same = before is not None and before.model_copy(update={"made_at": drafted.made_at}) == drafted
    return before if same and before is not None else drafted


def _drop_equal_drafts(settings: Settings, entries: list[ExportedFile]) -> list[str]:
    """Delete the drafts of files that already have the same bytes; return the names of the other files."""
    different = []
    for entry in entries:
        if _matches_entry(settings, entry):
            draft_of(settings, entry.report_date).unlink()
        else:
            different.append(entry.file)
    return different


def _remove_on_demand(
    warehouse: duckdb.DuckDBPyConnection, settings: Settings, manifest: Manifest | None, source: Source, first_day: date
) -> list[str]:
    """Remove the exports on demand made before `first_day`, or all if they may contain data that must no longer be read."""
    before = manifest.publication if manifest else None
    if before is None:
        is_safe = source.masking_fingerprint == Contacts.PLAIN
    else:
        is_safe = before.masking_fingerprint == source.masking_fingerprint and is_of_this_warehouse(warehouse, before)
    return remove_old_on_demand(settings, first_day) if is_safe else remove_all_on_demand(settings)

"""Export the report as TSV: a file per report day, kept up to date, and any selection on demand."""

import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from secrets import token_hex
from threading import local
from typing import Any
from zoneinfo import ZoneInfo

import duckdb

from orchestration.exports.filters import ExportSelection
from orchestration.exports.tsv import Layout, prepare_cells, write_tsv
from orchestration.files import put_in_place, sha256_of
from orchestration.publication.published import open_published
from orchestration.settings import Language, Settings
from orchestration.transform.builds import days_changed_since, is_known


@dataclass
class DailyExports:
    """The daily files after an export: which ones were written, removed, how many there are, and the latest day's."""

    written: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    files: int = 0
    rows: int = 0
    latest: Path | None = None


def export_days(warehouse: duckdb.DuckDBPyConnection, settings: Settings, asked_for: Iterable[date] = ()) -> DailyExports:
    """Rewrite the daily files whose bytes changed since the last export, from the published marts.

    Days `asked_for` are looked at in any case; a file that already holds the right bytes stays as it is.
    """
    settings.exports_dir.mkdir(parents=True, exist_ok=True)
    _remove_drafts(settings)
    manifest = _read_manifest(settings)
    files: dict[str, dict[str, Any]] = {entry["file"]: entry for entry in manifest.get("files", [])} if manifest else {}
    result = DailyExports()
    with open_published(settings) as published:
        publication = _publication(published)
        first_day = settings.first_day_kept(datetime.now(UTC))
        to_look_at = {*_days_to_look_at(warehouse, published, settings, manifest, publication), *asked_for}
        days = sorted(day for day in to_look_at if day >= first_day)
        result.removed += _remove_expired(settings, files, first_day)
        for day, rows in _write_drafts(published, settings, days):
            _put_day_in_place(settings, day, rows, files, result)
        if manifest is None:
            # Without a manifest nothing is known of the files that lie here from before.
            result.removed += _remove_strangers(settings.exports_dir, files)
    if manifest is None or days or result.removed:
        _write_manifest(settings, publication, files)
    result.files = len(files)
    result.rows = sum(entry["rows"] for entry in files.values())
    result.latest = settings.exports_dir / max(files) if files else None
    return result


def export_selection(settings: Settings, selection: ExportSelection) -> tuple[Path, int]:
    """Write the selected rows of the published report to one TSV; return its path and number of rows."""
    folder = settings.exports_dir / "on_demand"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / (selection.file_name or _name_of_selection(settings, selection, datetime.now(UTC)))
    # Its own, because two may write a file of one name at a time; the later one stays.
    draft = path.with_name(f".{path.name}.{token_hex(8)}.draft")
    layout = Layout(selection.layout)
    usual_language = Language.ES if layout is Layout.BOTMAKER else settings.language
    language = Language(selection.language) if selection.language else usual_language
    condition, values = selection.condition()
    with open_published(settings) as published:
        selection.check_known(published)
        prepare_cells(published)
        rows = write_tsv(published, draft, settings, condition, values, language, layout)
    put_in_place(draft, path)
    return path, rows


def _name_of_selection(settings: Settings, selection: ExportSelection, now: datetime) -> str:
    if selection.layout == Layout.BOTMAKER:
        return f"sessionStartingCauses-{now.astimezone(ZoneInfo(settings.report_timezone)):%Y.%m.%d-%H.%M}.tsv"
    period = "--".join(day for day in (selection.period_from, selection.period_to) if day) or "all"
    return f"sessionStartingCauses-{period}-{now:%Y%m%dT%H%M%S}.tsv"


def _settings_of(settings: Settings) -> dict[str, str]:
    """The settings that every daily file depends on, beside the marts."""
    return {"time_zone": settings.report_timezone, "language": settings.language.value}


def _read_manifest(settings: Settings) -> dict[str, Any] | None:
    """Return the manifest, or None where there is none of ours that describes files of these settings."""
    try:
        manifest = json.loads(_manifest_path(settings).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return manifest if _is_whole(manifest) and manifest["settings"] == _settings_of(settings) else None


def _is_whole(manifest: Any) -> bool:
    """Say whether a manifest has all that is read of it: the file lies where other tools write, too."""
    return (
        _has(manifest, "settings", "publication", "files")
        and _has(manifest["publication"], "build_id", "build_started_at", "definition_sha256", "contacts")
        and isinstance(manifest["files"], list)
        and all(_has(entry, "file", "report_date", "rows", "sha256") for entry in manifest["files"])
    )


def _has(value: Any, *keys: str) -> bool:
    return isinstance(value, dict) and all(key in value for key in keys)


def _publication(published: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """Return what the daily files are made from, as the manifest keeps it."""
    row = published.execute("select build_id, build_started_at, definition_sha256, contacts from publish_info").fetchone()
    assert row is not None
    return {"build_id": row[0], "build_started_at": row[1].isoformat(), "definition_sha256": row[2], "contacts": row[3]}


def _days_to_look_at(
    warehouse: duckdb.DuckDBPyConnection,
    published: duckdb.DuckDBPyConnection,
    settings: Settings,
    manifest: dict[str, Any] | None,
    publication: dict[str, Any],
) -> list[date]:
    """Return the days that may differ from their files: those changed since the last export or without a file, or all of them."""
    listed = {
        date.fromisoformat(entry["report_date"]): settings.exports_dir / entry["file"] for entry in (manifest["files"] if manifest else [])
    }
    exported = manifest["publication"] if manifest else None
    # The smallest mart of the report has them all.
    days = {day for (day,) in published.execute("select distinct session_start_date from session_starts_daily").fetchall()}
    if (
        exported is None
        or any(exported[part] != publication[part] for part in ("definition_sha256", "contacts"))
        or not is_known(warehouse, exported["build_id"], datetime.fromisoformat(exported["build_started_at"]))
    ):
        return sorted(days | set(listed))
    changed = days_changed_since(warehouse, exported["build_id"])
    lost = {day for day, path in listed.items() if not path.exists()}
    # A shorter retention may have kept them away until now.
    unlisted = days - set(listed)
    return sorted({*changed, *lost, *unlisted})


def _write_drafts(published: duckdb.DuckDBPyConnection, settings: Settings, days: list[date]) -> Iterator[tuple[date, int]]:
    """Write each day's draft, as many at a time as DuckDB has threads; yield (day, number of rows).

    A day is one row group of DuckDB or two, which it writes with one thread: on 2 cores, two at a time
    took 2.5 s for a million rows in 62 days, one at a time 3.4 s.
    """
    threads = published.execute("select current_setting('threads')::integer").fetchone()
    assert threads is not None
    own = local()

    def open_cursor() -> None:
        own.cursor = published.cursor()
        prepare_cells(own.cursor)

    def write_draft(day: date) -> int:
        return write_tsv(own.cursor, _draft_of(settings, day), settings, "s.session_start_date = $day", {"day": day}, settings.language)

    with ThreadPoolExecutor(threads[0], initializer=open_cursor) as pool:
        yield from zip(days, pool.map(write_draft, days), strict=True)


def _draft_of(settings: Settings, day: date) -> Path:
    return settings.exports_dir / f".{_file_name(day)}.draft"


def _file_name(day: date) -> str:
    return f"sessionStartingCauses-{day:%Y-%m-%d}.tsv"


def _put_day_in_place(settings: Settings, day: date, rows: int, files: dict[str, dict[str, Any]], result: DailyExports) -> None:
    name = _file_name(day)
    path, draft = settings.exports_dir / name, _draft_of(settings, day)
    if rows == 0:
        draft.unlink()
        path.unlink(missing_ok=True)
        if files.pop(name, None):
            result.removed.append(name)
        return
    sha256 = sha256_of(draft)
    if path.exists() and sha256_of(path) == sha256:
        draft.unlink()
        if files.get(name, {}).get("sha256") == sha256:
            return
    else:
        put_in_place(draft, path)
        result.written.append(name)
    files[name] = {
        "file": name,
        "report_date": f"{day:%Y-%m-%d}",
        "rows": rows,
        "bytes": path.stat().st_size,
        "sha256": sha256,
        "time_zone": settings.report_timezone,
        "made_at": _now(),
    }


def _remove_drafts(settings: Settings) -> None:
    """Remove the drafts that a kill left; one of an export on demand may be in the making until it is some days old."""
    yesterday = datetime.now(ZoneInfo(settings.report_timezone)).date() - timedelta(days=1)
    abandoned = [draft for draft in settings.exports_dir.glob("on_demand/.*.draft") if _made_on(draft, settings) < yesterday]
    for draft in [*settings.exports_dir.glob(".*.draft"), *abandoned]:
        draft.unlink()


def _made_on(path: Path, settings: Settings) -> date:
    return datetime.fromtimestamp(path.stat().st_mtime, ZoneInfo(settings.report_timezone)).date()


def _remove_expired(settings: Settings, files: dict[str, dict[str, Any]], first_day: date) -> list[str]:
    """Remove the daily files, and the exports on demand made, before the first day that is kept."""
    folder = settings.exports_dir
    expired = [name for name, entry in files.items() if date.fromisoformat(entry["report_date"]) < first_day]
    for name in expired:
        (folder / name).unlink(missing_ok=True)
        del files[name]
    on_demand = [path for path in folder.glob("on_demand/*.tsv") if _made_on(path, settings) < first_day]
    for path in on_demand:
        path.unlink()
    return [*expired, *(path.name for path in on_demand)]


def _remove_strangers(folder: Path, files: dict[str, dict[str, Any]]) -> list[str]:
    strangers = [path for path in folder.glob("sessionStartingCauses-????-??-??.tsv") if path.name not in files]
    for path in strangers:
        path.unlink()
    return [path.name for path in strangers]


def _write_manifest(settings: Settings, publication: dict[str, Any], files: dict[str, dict[str, Any]]) -> None:
    manifest = {
        "settings": _settings_of(settings),
        "publication": publication,
        "made_at": _now(),
        "files": [files[name] for name in sorted(files)],
    }
    path = _manifest_path(settings)
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    put_in_place(draft, path)


def _manifest_path(settings: Settings) -> Path:
    return settings.exports_dir / "manifest.json"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")

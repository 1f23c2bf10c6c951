"""Records of the daily exports: `manifest.json` beside them, and the journal of a replacement in progress.

The manifest lists the files of one export with their hashes. It is replaced last, so a reader that compares files with it never mixes
two exports. Before the first file is replaced, the journal records the whole replacement, so that it can be finished after a kill.
"""

import re
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from orchestration.files import put_in_place, read_start, restrict_file, sync_folder
from orchestration.publication.source import Source
from orchestration.settings import Settings

# Earlier versions wrote years before 1000 with fewer digits.
_DAILY_FILE = re.compile(r"sessionStartingCauses-\d{1,4}-\d{2}-\d{2}\.tsv")

_Count = Annotated[int, Field(ge=0)]
_Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def file_name(day: date) -> str:
    """Return the name of a report day's file. Years have four digits on every system, unlike with `strftime`."""
    return f"sessionStartingCauses-{day.isoformat()}.tsv"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True)


class ExportedFile(_Model):
    """The entry of a day's file: its number of rows without the header, its size and its hash."""

    file: str
    report_date: date
    rows: _Count
    bytes: _Count
    sha256: _Sha256
    time_zone: str
    made_at: datetime

    @model_validator(mode="after")
    def _is_named_after_its_day(self) -> Self:
        # Other tools may write to the manifest's folder, and the names in it become paths that are replaced and removed.
        if self.file != file_name(self.report_date):
            raise ValueError(f"{self.file!r} is not the file of {self.report_date}")
        return self


class ExportSettings(_Model):
    """The settings that every daily file depends on, besides the marts."""

    time_zone: str
    language: str


class Manifest(_Model):
    settings: ExportSettings
    publication: Source
    made_at: datetime
    files: list[ExportedFile]

    @property
    def by_day(self) -> dict[date, ExportedFile]:
        return {entry.report_date: entry for entry in self.files}


class _Journal(_Model):
    """A replacement whose drafts are all written: the new manifest, and the days whose files are removed."""

    manifest: Manifest
    removed: list[date]


def read_manifest(settings: Settings) -> Manifest | None:
    """Return the manifest, or None if there is none that this version of the project can read."""
    try:
        return Manifest.model_validate_json(read_start(_manifest_path(settings)))
    except (OSError, ValidationError):
        return None


def draft_of(settings: Settings, day: date) -> Path:
    return settings.exports_dir / f".{file_name(day)}.draft"


def replace_exports(settings: Settings, manifest: Manifest, removed: list[date]) -> None:
    """Put the drafts in place, remove the files of the days `removed`, and replace the manifest. A kill loses nothing."""
    sync_folder(settings.exports_dir)
    journal = _Journal(manifest=manifest, removed=removed)
    _write(settings, _journal_path(settings), journal.model_dump_json())
    _apply_journal(settings, journal)


def recover_exports(settings: Settings) -> None:
    """Finish a replacement that a kill interrupted, and remove all other drafts. The caller holds the writer's lock."""
    if not settings.exports_dir.is_dir():
        return
    try:
        _apply_journal(settings, _Journal.model_validate_json(read_start(_journal_path(settings))))
    except FileNotFoundError:
        pass
    except ValidationError:
        _journal_path(settings).unlink()
    for draft in settings.exports_dir.glob(".*.draft"):
        draft.unlink()
    for path in settings.exports_dir.glob("*.tsv"):
        # Exports are never links, and a link may lead to someone else's file.
        if path.is_file() and not path.is_symlink():
            restrict_file(path, settings, read_only=True)


def remove_unlisted(settings: Settings, manifest: Manifest) -> list[str]:
    """Remove daily files of earlier exports that the manifest does not list; return their names."""
    listed = {entry.file for entry in manifest.files}
    unlisted = [path for path in settings.exports_dir.glob("*.tsv") if path.name not in listed and _DAILY_FILE.fullmatch(path.name)]
    for path in unlisted:
        path.unlink()
    return [path.name for path in unlisted]


def manifest_written_at(settings: Settings) -> int:
    """Return the manifest's mtime in nanoseconds, or 0 if there is none. All files listed in it were written before."""
    path = _manifest_path(settings)
    return path.stat().st_mtime_ns if path.is_file() else 0


def _apply_journal(settings: Settings, journal: _Journal) -> None:
    for entry in journal.manifest.files:
        draft = draft_of(settings, entry.report_date)
        if draft.exists():
            draft.replace(settings.exports_dir / entry.file)
    for day in journal.removed:
        (settings.exports_dir / file_name(day)).unlink(missing_ok=True)
    _write(settings, _manifest_path(settings), journal.manifest.model_dump_json(indent=2) + "\n")
    _journal_path(settings).unlink()


def _write(settings: Settings, path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(text, encoding="utf-8")
    restrict_file(draft, settings, read_only=False)
    put_in_place(draft, path)


def _manifest_path(settings: Settings) -> Path:
    return settings.exports_dir / "manifest.json"


def _journal_path(settings: Settings) -> Path:
    return settings.exports_dir / ".journal.json"

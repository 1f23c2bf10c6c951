"""Versions of the published files: a folder for each, and one link to the version that readers see.

    published/.versions/17/conversation_starts.duckdb
    published/.versions/17/parquet/<mart>/<YYYY-MM>.parquet
    published/.versions/current -> 17
    published/conversation_starts.duckdb -> .versions/current/conversation_starts.duckdb
    published/parquet -> .versions/current/parquet

A version is written to its folder and never changed afterwards. Replacing the link `current` shows all its files in one step, so a kill
leaves either the old version or the new one. DuckDB resolves links before it names its write-ahead log, so anything that another
program wrote into a version stays with that version. Unchanged Parquet files are hard links to those of the previous version. The
previous version is kept for one more publication (its DuckDB file until the next run starts), so that a reader that has already resolved
the link can finish.

The files written are recorded beside the warehouse (`.published/17.json`), where readers have no write access. Only files that match
their record are reused or exported.

If the file system has no links, `current` is a text file, and the files are copied to the names in the contract.
"""

import errno
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ValidationError

from orchestration.files import copy_file, make_folder, put_in_place, read_start, remove, restrict_file, sync_file, sync_folder
from orchestration.publication.source import Source
from orchestration.settings import Settings

DATABASE = "conversation_starts.duckdb"
PARQUET = "parquet"

_VERSIONS = ".versions"
_CURRENT = "current"
# Errors of file systems that support no links, or no further link to the same file.
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EMLINK}


class WrittenFile(BaseModel):
    """A published file as it was written. `name` is its path in the version's folder; `rows` is set for Parquet files."""

    name: str
    bytes: int
    mtime_ns: int
    rows: int = 0


class VersionRecord(BaseModel):
    """The source and the content of a version: the number of rows by mart, and every file."""

    source: Source
    rows: dict[str, int]
    files: list[WrittenFile]
    keeps_previous: bool


@dataclass(frozen=True)
class Version:
    """A folder of published files; `record` is None if there is no record of what was written to it."""

    number: int
    folder: Path
    record: VersionRecord | None

    @property
    def database(self) -> Path:
        return self.folder / DATABASE

    def intact_files(self) -> dict[str, WrittenFile]:
        """Return the files, by name, whose size and mtime are as recorded."""
        return {file.name: file for file in self.record.files if _matches_record(self.folder / file.name, file)} if self.record else {}


def written_file(folder: Path, path: Path, rows: int = 0) -> WrittenFile:
    """Describe a finished file of a version's folder."""
    found = path.stat()
    return WrittenFile(name=path.relative_to(folder).as_posix(), bytes=found.st_size, mtime_ns=found.st_mtime_ns, rows=rows)


def current_version(settings: Settings) -> Version | None:
    """Return the version that readers see, or None if nothing is published."""
    versions = settings.published_dir / _VERSIONS
    number = _read_link(versions / _CURRENT)
    if number is None or not (versions / number).is_dir():
        return None
    return Version(int(number), versions / number, _read_record(settings, int(number)))


def new_version(settings: Settings) -> Path:
    """Create the folder of the next version; readers do not see it yet."""
    make_folder(settings.published_dir, settings)
    versions = settings.published_dir / _VERSIONS
    make_folder(versions, settings)
    folder = versions / str(max([*_numbers(versions), *_numbers(_records(settings)), 0]) + 1)
    make_folder(folder, settings)
    return folder


def link_or_copy(source: Path, target: Path) -> None:
    """Hard-link a finished file to a second name, or copy it with its mtime if the file system has no links."""
    try:
        target.hardlink_to(source)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _copy_with_times(source, target)


def activate_version(settings: Settings, folder: Path, record: VersionRecord) -> None:
    """Make a finished version the one that readers see, in one step, and remove versions that no reader needs."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir():
            sync_folder(path)
    sync_folder(folder)
    _write_record(settings, int(folder.name), record)
    pointer = folder.with_name(_CURRENT)
    if not _replace_link(pointer, folder.name):
        draft = pointer.with_name(f".{pointer.name}.draft")
        draft.write_text(folder.name, encoding="utf-8")
        put_in_place(draft, pointer)
    _update_entries(settings, Version(int(folder.name), folder, record))
    _remove_unused_versions(settings, int(folder.name), record)


def recover_publication(settings: Settings) -> None:
    """Finish or undo what a kill interrupted, and remove what other programs left beside the published files.

    The caller holds the writer's lock. If there is nothing to do, this costs a few system calls.
    """
    if not settings.published_dir.is_dir():
        return
    _remove_side_files(settings)
    version = current_version(settings)
    if version is not None and not os.path.lexists(settings.published_dir / DATABASE):
        # The documented remedy for a damaged file: the user deletes it to have it rewritten.
        _record_path(settings, version.number).unlink(missing_ok=True)
    elif version is not None and version.record is not None:
        _update_entries(settings, version)
        for name in version.intact_files():
            restrict_file(version.folder / name, settings, read_only=True)
    number, record = (version.number, version.record) if version else (0, None)
    _remove_unused_versions(settings, number, record)
    previous = _previous(settings, number, record)
    if previous is not None:
        # A reader opens this file right after it resolves the link, so by now it has the file open.
        for path in (settings.published_dir / _VERSIONS / str(previous)).glob(f"{DATABASE}*"):
            if path.is_file():
                path.unlink()


def _update_entries(settings: Settings, version: Version) -> None:
    """Give the files of the current version the names in the contract."""
    if not (settings.published_dir / _VERSIONS / _CURRENT).is_symlink():
        _copy_to_entries(settings, version)
        return
    for name in (DATABASE, PARQUET):
        entry, target = settings.published_dir / name, f"{_VERSIONS}/{_CURRENT}/{name}"
        if entry.is_symlink() and str(entry.readlink()) == target:
            continue
        if entry.is_dir() and not entry.is_symlink():
            # An earlier version of this project wrote this folder. A link cannot replace a folder in one step.
            replaced = version.folder.with_name(f".{name}.replaced")
            shutil.rmtree(replaced, ignore_errors=True)
            entry.rename(replaced)
            _replace_link(entry, target)
            shutil.rmtree(replaced)
        else:
            _replace_link(entry, target)


def _copy_to_entries(settings: Settings, version: Version) -> None:
    assert version.record is not None
    names = {file.name for file in version.record.files}
    for file in version.record.files:
        entry = settings.published_dir / file.name
        if not _matches_record(entry, file):
            make_folder(entry.parent, settings)
            draft = entry.with_name(f".{entry.name}.draft")
            _copy_with_times(version.folder / file.name, draft)
            restrict_file(draft, settings, read_only=True)
            put_in_place(draft, entry)
    for path in (settings.published_dir / PARQUET).rglob("*.parquet"):
        if path.relative_to(settings.published_dir).as_posix() not in names:
            path.unlink()


def _copy_with_times(source: Path, target: Path) -> None:
    copy_file(source, target)
    found = source.stat()
    os.utime(target, ns=(found.st_atime_ns, found.st_mtime_ns))
    sync_file(target)


def _replace_link(link: Path, target: str) -> bool:
    """Replace a link with one to `target`; return whether the file system has links."""
    draft = link.with_name(f".{link.name}.draft")
    draft.unlink(missing_ok=True)
    try:
        draft.symlink_to(target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return False
    if link.is_dir() and not link.is_symlink():
        # A backup that follows links put a folder in its place.
        shutil.rmtree(link)
    draft.replace(link)
    sync_folder(link.parent)
    return True


def _read_link(pointer: Path) -> str | None:
    try:
        number = str(pointer.readlink()) if pointer.is_symlink() else read_start(pointer).decode()
    except (OSError, UnicodeDecodeError):
        return None
    return number if _is_number(number) else None


def _previous(settings: Settings, current: int, record: VersionRecord | None) -> int | None:
    earlier = [number for number in _numbers(settings.published_dir / _VERSIONS) if number < current]
    return max(earlier) if earlier and record is not None and record.keeps_previous else None


def _remove_unused_versions(settings: Settings, current: int, record: VersionRecord | None) -> None:
    """Remove every version except the current and the previous one, including a newer draft that a kill left."""
    kept = {_CURRENT, str(current), str(_previous(settings, current, record))}
    for path in (settings.published_dir / _VERSIONS).glob("*"):
        if path.name not in kept:
            remove(path)
    for path in _records(settings).glob("*"):
        if path != _record_path(settings, current):
            path.unlink()


def _remove_side_files(settings: Settings) -> None:
    """Remove write-ahead logs of programs that wrote to a published file, and drafts of earlier versions of this project."""
    names = (f"{DATABASE}.wal", f".{DATABASE}.draft", f".{DATABASE}.draft.wal")
    version = current_version(settings)
    paths = [settings.published_dir / name for name in names] + ([version.folder / names[0]] if version else [])
    for path in paths:
        remove(path)


def _matches_record(path: Path, file: WrittenFile) -> bool:
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return (found.st_size, found.st_mtime_ns) == (file.bytes, file.mtime_ns)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()


def _numbers(folder: Path) -> list[int]:
    return [int(path.stem) for path in folder.glob("*") if _is_number(path.stem)]


def _records(settings: Settings) -> Path:
    return settings.data / ".published"


def _record_path(settings: Settings, number: int) -> Path:
    return _records(settings) / f"{number}.json"


def _read_record(settings: Settings, number: int) -> VersionRecord | None:
    try:
        return VersionRecord.model_validate_json(read_start(_record_path(settings, number)))
    except (OSError, ValidationError):
        return None


def _write_record(settings: Settings, number: int, record: VersionRecord) -> None:
    path = _record_path(settings, number)
    make_folder(path.parent, settings)
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(record.model_dump_json(), encoding="utf-8")
    restrict_file(draft, settings, read_only=False)
    put_in_place(draft, path)

"""Files that are replaced as a whole or not at all, their permissions, and their names in SQL."""

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb

from orchestration.errors import StartsError
from orchestration.settings import Settings

_COPY_BYTES = 1 << 23


def put_in_place(draft: Path, target: Path) -> None:
    """Turn a finished draft into the file itself, so that a crash leaves either the old bytes or the new ones."""
    sync_file(draft)
    draft.replace(target)
    sync_folder(target.parent)


def sync_file(path: Path) -> None:
    """Return when the file's bytes are on the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Return when the names in a folder are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def copy_file(source: Path, target: Path) -> None:
    """Copy a file's bytes within the kernel; where the file system shares blocks (XFS, Btrfs), only a reference is written."""
    with source.open("rb") as read, target.open("wb") as written:
        copy_range(read.fileno(), written.fileno(), 0, source.stat().st_size)


def copy_range(source: int, target: int, start: int, size: int) -> None:
    """Write `size` bytes of one open file, from `start`, at the position of another. Raises `OSError` where there are fewer."""
    while size > 0:
        copied = _copy_some(source, target, start, size)
        if copied == 0:
            raise OSError(f"the file has {size} bytes less than it should")
        start, size = start + copied, size - copied


def _copy_some(source: int, target: int, start: int, size: int) -> int:
    if hasattr(os, "copy_file_range"):
        # Some pairs of file systems do not support it.
        with suppress(OSError):
            return os.copy_file_range(source, target, size, offset_src=start)
    return os.write(target, os.pread(source, min(size, _COPY_BYTES), start))


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def make_folder(folder: Path, settings: Settings) -> None:
    """Create a folder that only we, and with `STARTS_FILE_MODE=group` our group, can open; correct one that others can."""
    folder.mkdir(parents=True, exist_ok=True)
    # Files of a folder with the set-group-ID bit get its group: an operator may have set it for readers.
    mode = folder.stat().st_mode
    wanted = (0o750 if _is_for_group(settings) else 0o700) | (mode & stat.S_ISGID)
    if stat.S_IMODE(mode) != wanted:
        # It may belong to somebody else who lets us write.
        with suppress(PermissionError):
            folder.chmod(wanted)


def restrict_file(path: Path, settings: Settings, *, read_only: bool) -> None:
    """Let only us, and with `STARTS_FILE_MODE=group` our group, read a file; nobody writes to a published one."""
    ours = 0o400 if read_only else 0o600
    path.chmod(ours | 0o040 if _is_for_group(settings) else ours)


@contextmanager
def explained_disk_errors(what: str) -> Iterator[None]:
    """Turn an error of the disk or of permissions while something is done ("Publishing to …") into a `StartsError` that says what to do."""
    try:
        yield
    except OSError as error:
        raise StartsError(_explained(what, error.strerror or str(error))) from error
    except duckdb.Error as error:
        if not is_disk_full(error):
            raise
        raise StartsError(_explained(what, "no space left on the disk")) from error


def is_disk_full(error: duckdb.Error) -> bool:
    return "no space left" in str(error).lower()


def _explained(what: str, problem: str) -> str:
    return (
        f"{what} failed: {problem}. The files that were there before are as they were. "
        "Free space, or give this user the right to write there, and run again."
    )


def _is_for_group(settings: Settings) -> bool:
    return getattr(settings, "files_mode", "private") == "group"


def quoted(value: object) -> str:
    """Quote a path or text as a SQL literal, for the statements in which nothing can be bound."""
    return "'" + str(value).replace("'", "''") + "'"

"""Atomic replacement of files, their permissions, and their names in SQL."""

import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex

from orchestration.errors import StartsError
from orchestration.settings import FileMode, Settings

_COPY_BYTES = 1 << 23


def put_in_place(draft: Path, target: Path) -> None:
    """Move a finished draft to its target. A crash leaves either the old bytes or the new ones."""
    sync_file(draft)
    draft.replace(target)
    sync_folder(target.parent)


def replace_private_file(path: Path, text: str) -> None:
    """Replace a file atomically; only its owner may read it."""
    draft = path.with_name(f".{path.name}.draft")
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600)
    draft.write_text(text, encoding="utf-8")
    put_in_place(draft, path)


@contextmanager
def atomic_write(target: Path) -> Iterator[Path]:
    """Yield a draft beside a file that a user named. It becomes the file after the `with` block; on an error it is deleted."""
    draft = target.with_name(f".{target.name}.{token_hex(8)}.draft")
    try:
        yield draft
        put_in_place(draft, target)
    finally:
        draft.unlink(missing_ok=True)


def check_output_path(path: Path) -> None:
    """Raise `StartsError` if a file that a user named cannot be written: it is a folder, or its folder does not exist."""
    if path.is_dir():
        raise StartsError(f"{path} is a folder: name a file to write.")
    if not path.parent.is_dir():
        raise StartsError(f"There is no folder {path.parent} to write {path.name} to.")


def sync_file(path: Path) -> None:
    """Flush a file's bytes to the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def copy_file(source: Path, target: Path) -> None:
    """Copy a file's bytes within the kernel; a file system that shares blocks (XFS, Btrfs) writes only a reference."""
    with source.open("rb") as read, target.open("wb") as written:
        copy_range(read.fileno(), written.fileno(), 0, source.stat().st_size)


def copy_range(source: int, target: int, start: int, size: int) -> None:
    """Write `size` bytes of one open file, from `start`, at the current position of another. Raises `OSError` if there are fewer."""
    while size > 0:
        copied = _copy_some(source, target, start, size)
        if copied == 0:
            raise OSError(f"the file is {size} bytes shorter than expected")
        start, size = start + copied, size - copied


def _copy_some(source: int, target: int, start: int, size: int) -> int:
    if hasattr(os, "copy_file_range"):
        # Some pairs of file systems do not support it.
        with suppress(OSError):
            return os.copy_file_range(source, target, size, offset_src=start)
    return os.write(target, os.pread(source, min(size, _COPY_BYTES), start))


def read_start(path: Path, size: int = -1) -> bytes:
    """Return the first `size` bytes of a regular file, or all of them.

    Raises `OSError` if it is not a regular file: a named pipe would block the run, and its lock, forever.
    """
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise FileExistsError(errno.EEXIST, "Not a regular file", str(path))
        return file.read(size)


def remove(path: Path) -> None:
    """Remove whatever is at a path, if anything; for a link, the link and not its target."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def make_folder(folder: Path, settings: Settings) -> None:
    """Create or restrict a folder: only this user can open it and, with `STARTS_FILE_MODE=group`, the user's group."""
    folder.mkdir(parents=True, exist_ok=True)
    change_permissions(folder, remove=settings.files_mode.umask, add=0o050 if settings.files_mode is FileMode.GROUP else 0)


def restrict_file(path: Path, settings: Settings, *, read_only: bool) -> None:
    """Restrict a file to this user and, with `STARTS_FILE_MODE=group`, the user's group; `read_only` is for published files."""
    change_permissions(path, remove=0o7777, add=(0o444 if read_only else 0o666) & ~settings.files_mode.umask)


def change_permissions(path: Path, *, remove: int = 0, add: int = 0) -> None:
    """Remove rights to a path, then add others, unless it belongs to another user, who has to change it."""
    rights = stat.S_IMODE(path.stat().st_mode)
    wanted = rights & ~remove | add
    if rights != wanted:
        with suppress(PermissionError):
            path.chmod(wanted)


def quoted(value: object) -> str:
    """Quote a path or text as a SQL literal, for statements that do not accept parameters."""
    return "'" + str(value).replace("'", "''") + "'"

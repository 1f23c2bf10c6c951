"""Errors that an operator can fix. Each message says what happened and what to do."""

import errno
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import ClassVar


class ExitCode(IntEnum):
    """The exit codes of the commands; `docs/operations.md` has the table for users."""

    SUCCESS = 0
    # Any other failure; also a comparison that found differences.
    FAILED = 1
    # Nothing was done: a wrong command line (argparse uses this code, too), a wrong setting, a missing folder.
    COULD_NOT_START = 2
    # Nothing is published until the data is corrected.
    BLOCKED = 3
    # Another run or fetch has locked the data folder; the same command works later.
    LOCKED = 4
    # Files of the landing zone could not be landed, or pages could not be fetched.
    LANDING_FAILED = 5
    # 128 + SIGINT, the convention of shells.
    INTERRUPTED = 130


class StartsError(Exception):
    """An error that an operator can fix; the message says what happened and what to do. It is never retried.

    `exit_code` is set if the error has its own; otherwise the code depends on when the error occurs.
    """

    exit_code: ClassVar[ExitCode | None] = None


class BlockedError(StartsError):
    """The data is not good enough to be published."""

    exit_code = ExitCode.BLOCKED


class LandingError(StartsError):
    """The landing zone, or the list of people erased from it, cannot be read."""

    exit_code = ExitCode.LANDING_FAILED


class LockedError(StartsError):
    """Another process holds a lock that this one needs."""

    exit_code = ExitCode.LOCKED


def exit_code_at_start(error: StartsError) -> ExitCode:
    """Return the exit code of an error that occurs before any work is done; a missing landing zone counts as a wrong setting then."""
    return ExitCode.LOCKED if isinstance(error, LockedError) else ExitCode.COULD_NOT_START


@dataclass(frozen=True)
class _Kind:
    """A kind of machine error: its numbers in the operating system, its texts in DuckDB and SQLite, and what to do.

    `advice` contains `{place}`: the file concerned, or a general description if the error does not name a file.
    """

    errnos: frozenset[int]
    texts: re.Pattern[str]
    advice: str

    def error(self, path: str | None) -> StartsError:
        return StartsError(self.advice.format(place=path or "the data folder or Dagster's home"))


_MEMORY = _Kind(
    frozenset({errno.ENOMEM}),
    re.compile(r"Out of Memory Error|Cannot allocate memory"),
    "Memory ran out. Close other programs, or use a machine with more memory, and run again.",
)

_PATH_CONFLICT = _Kind(
    frozenset({errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY, errno.ELOOP, errno.ENAMETOOLONG}),
    re.compile(r"Not a directory|Is a directory|Too many levels of symbolic links|File name too long"),
    "Something else is in the place of {place}, or its name cannot be used. Remove or rename it and run again.",
)

# The texts are those of the C library, which DuckDB appends to its own, and of SQLite, in which Dagster stores its runs.
# The order matters: DuckDB reports a temporary file that does not fit on the disk as an out-of-memory error.
_KINDS = (
    _Kind(
        frozenset({errno.ENOSPC, errno.EDQUOT}),
        re.compile(r"No space left on device|Disk quota exceeded|max_temp_directory_size|database or disk is full"),
        "No space is left on the disk of {place}. Free some and run again: the next run continues from what was committed.",
    ),
    _Kind(
        frozenset({errno.EFBIG}),
        re.compile(r"File too large"),
        "{place} would become larger than this user or this file system allows. Raise the limit (`ulimit -f`), or set STARTS_DATA "
        "to another file system, and run again.",
    ),
    _Kind(
        frozenset({errno.EROFS}),
        re.compile(r"Read-only file system"),
        "{place} is on a file system that is mounted read-only. Mount it for writing, or set STARTS_DATA to another folder.",
    ),
    _Kind(
        frozenset({errno.EACCES, errno.EPERM}),
        re.compile(r"Permission denied|Operation not permitted|attempt to write a readonly database|unable to open database file"),
        "This user may not read or write {place}. Give the user this right, and run again.",
    ),
    _Kind(
        frozenset({errno.EMFILE, errno.ENFILE}),
        re.compile(r"Too many open files"),
        "Too many files are open, so {place} cannot be opened. Raise the limit (`ulimit -n 4096`, or LimitNOFILE= in a systemd unit) "
        "and run again.",
    ),
    _MEMORY,
    _Kind(
        frozenset({errno.EIO}),
        re.compile(r"Input/output error"),
        "The disk or share of {place} fails to read or write. Check it (`dmesg` shows its errors), then run again.",
    ),
    # SQLite also reports a full disk this way, if it cannot enlarge the index of its log.
    _Kind(
        frozenset(),
        re.compile(r"disk I/O error"),
        "The disk of Dagster's home (DAGSTER_HOME, by default the folder .dagster in the data folder) is full, or fails. Free some "
        "space, or check it (`dmesg` shows its errors), and run again.",
    ),
    _PATH_CONFLICT,
    _Kind(
        frozenset(),
        re.compile(r"database disk image is malformed|file is not a database"),
        "Dagster's records of runs are damaged. Delete the files below DAGSTER_HOME (by default the folder .dagster in the data "
        "folder) and run again: only the history of runs is lost.",
    ),
)

# DuckDB's errors about files and memory. Its other errors may quote data, which can contain any text.
_DUCKDB_TEXT = re.compile(r"^\s*(?:\w+: )?((?:IO|Out of Memory|TransactionContext|FATAL) Error: .*(?:\n.*)?)", re.MULTILINE)
QUOTED_FILE = re.compile(r'file "([^"]+)"')


def explain_error(error: BaseException) -> StartsError | None:
    """Return what to do about an error, or about one in its chain of causes; None if none of them is a machine error."""
    for link in chain_of(error):
        if isinstance(link, OSError):
            for kind in _KINDS:
                if link.errno in kind.errnos:
                    # For a rename, the second name is the one that is in the way.
                    return kind.error((kind is _PATH_CONFLICT and link.filename2) or link.filename)
        elif isinstance(link, MemoryError):
            return _MEMORY.error(None)
        elif (text := text_of_machine_error(link)) is not None:
            for kind in _KINDS:
                if kind.texts.search(text):
                    named = QUOTED_FILE.search(text)
                    return kind.error(named and named[1])
    return None


def is_locked_by_another_process(error: BaseException) -> bool:
    """Return whether DuckDB could not open a file because another program has locked it."""
    return "Could not set lock on file" in str(error)


def path_conflict_error(path: Path) -> StartsError:
    """Return the error for a folder, a pipe or a link in the place of a file."""
    return _PATH_CONFLICT.error(str(path))


@contextmanager
def operator_errors(explain: Callable[[BaseException], StartsError | None] = explain_error) -> Iterator[None]:
    """Raise errors that the operator can fix (full disk, missing rights, exhausted memory) as `StartsError`; pass on all others."""
    try:
        yield
    except StartsError:
        raise
    except Exception as error:
        explained = explain(error)
        if explained is None:
            raise
        raise explained from error


def chain_of(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and its chain of causes or contexts: a failed rollback hides the error that led to it."""
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__ or link.__context__


def text_of_machine_error(error: BaseException) -> str | None:
    """Return the text of DuckDB or SQLite about files and memory in an error, also if dbt quotes it; None for any other error."""
    if type(error).__module__ == "sqlite3":
        return str(error)
    found = _DUCKDB_TEXT.search(str(error))
    return found[1] if found is not None else None

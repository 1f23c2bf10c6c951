"""List a feed's folder on this machine: files to read, files that cannot be read, and entries that are not data files.

fsspec's own listing reports a folder without read permission as empty, does not enter linked folders, and has times to the second
only. So local folders are listed here.
"""

import os
import stat
import time
import unicodedata
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from orchestration.errors import LandingError
from orchestration.texts import is_utf8

DATA_EXTENSIONS = (".jsonl", ".ndjson", ".json")
PACKED_EXTENSIONS = ("", ".gz", ".zst")
# Rate cards are CSV, as Meta publishes them; all other feeds are JSON.
_EXTENSIONS_BY_FEED = {"rates": (".csv",)}

# File systems store times to some milliseconds, FAT to two seconds. Within that time, a second change leaves no trace.
_SETTLED_AFTER_NS = 2_000_000_000

_SPECIAL_KINDS = ((stat.S_ISFIFO, "a named pipe"), (stat.S_ISSOCK, "a socket"), (stat.S_ISCHR, "a device"), (stat.S_ISBLK, "a device"))


@dataclass(frozen=True)
class LandingFile:
    """A file of a feed. `version` changes when the file does; `name` is relative to the landing zone.

    `problem` is the reason why the file cannot be read, if the listing shows it. A file that is not settled has just changed, and
    may change again without a new version.
    """

    name: str
    location: str
    bytes: int
    version: str
    problem: str | None = None
    is_settled: bool = True


@dataclass(frozen=True)
class SkippedEntry:
    """A file or folder that looks like data of a feed but is not read; `name` is relative to the landing zone."""

    name: str
    reason: str


@dataclass
class Listing:
    """The contents of a feed's folder; `folder_exists` is false if this machine has no such folder."""

    files: list[LandingFile] = field(default_factory=list)
    skipped_entries: list[SkippedEntry] = field(default_factory=list)
    folder_exists: bool = True


HIDDEN_REASON = "its name begins with . or _, like those of drafts and markers"


def is_hidden(name: str) -> bool:
    """Return whether tools use such a name for entries that are not to be read: drafts, markers, their own folders."""
    return name.startswith((".", "_"))


def data_extensions(feed: str) -> tuple[str, ...]:
    return _EXTENSIONS_BY_FEED.get(feed, DATA_EXTENSIONS)


def is_data_file(name: str, feed: str) -> bool:
    return name.endswith(tuple(data + packed for data in data_extensions(feed) for packed in PACKED_EXTENSIONS))


def skipped_file(name: str, feed: str) -> SkippedEntry:
    """Return why a file whose name is not that of a data file of the feed is not read."""
    if is_data_file(name.lower(), feed):
        return SkippedEntry(name, "its extension is not in lower case")
    return SkippedEntry(name, f"its extension is not one of {', '.join(data_extensions(feed))}, alone or with .gz or .zst")


def printable_name(name: str) -> str:
    """Return a name that can be stored and printed: bytes that are not UTF-8 and control characters are escaped."""
    decoded = os.fsencode(name).decode(errors="backslashreplace")
    return "".join(rf"\x{ord(character):02x}" if unicodedata.category(character) == "Cc" else character for character in decoded)


def list_folder(root: Path, feed: str) -> Listing:
    """List a feed's folder with its subfolders, including linked ones. Raises `LandingError` if a folder cannot be listed."""
    folder = root / feed
    try:
        is_folder = stat.S_ISDIR(folder.stat().st_mode)
    except FileNotFoundError:
        if folder.is_symlink():
            raise _listing_error(feed, "a broken link") from None
        return Listing(folder_exists=False)
    except OSError as error:
        raise _listing_error(feed, error.strerror) from error
    if not is_folder:
        raise _listing_error(feed, "a file, not a folder")
    walk = _Walk(feed)
    walk.enter(str(folder), feed)
    walk.listing.files.sort(key=lambda file: file.name)
    walk.listing.skipped_entries.sort(key=lambda entry: entry.name)
    return walk.listing


def device_of(version: str) -> str | None:
    """Return the device of the folder of a file with this version, or None for files in an object store."""
    parts = version.split("/")
    return parts[4] if len(parts) == 5 else None


class _Walk:
    def __init__(self, feed: str) -> None:
        self._feed = feed
        self.listing = Listing()
        self._now = time.time_ns()
        self._seen: set[tuple[int, int]] = set()
        # Linked folders come last, so that their targets keep their own names if they are in the same feed.
        self._folders: deque[tuple[str, str]] = deque()
        self._linked: deque[tuple[str, str]] = deque()

    def enter(self, path: str, name: str) -> None:
        self._folders.append((path, name))
        while self._folders or self._linked:
            self._list_folder(*(self._folders or self._linked).popleft())

    def _list_folder(self, path: str, name: str) -> None:
        try:
            state = Path(path).stat()
            with os.scandir(path) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except (FileNotFoundError, NotADirectoryError):
            # Removed since its parent was listed.
            return
        except OSError as error:
            raise _listing_error(name, error.strerror) from error
        if (state.st_dev, state.st_ino) in self._seen:
            self._skip(f"{name}/", "a link to a folder that was already read")
            return
        self._seen.add((state.st_dev, state.st_ino))
        for entry in found:
            if not is_hidden(entry.name):
                self._add_entry(entry, f"{name}/{entry.name}", state.st_dev)
            elif entry.is_dir(follow_symlinks=False):
                self._skip(f"{name}/{entry.name}/", HIDDEN_REASON)
            elif is_data_file(entry.name, self._feed):
                self._skip(f"{name}/{entry.name}", HIDDEN_REASON)

    def _add_entry(self, entry: os.DirEntry[str], name: str, device: int) -> None:
        is_link = entry.is_symlink()
        try:
            state = entry.stat()
        except FileNotFoundError:
            if is_link:
                self._add_unreadable(entry, name, "a broken link")
            return
        except OSError as error:
            if not is_link:
                # The names in this folder may be read, but not the files.
                raise _listing_error(str(PurePosixPath(name).parent), error.strerror) from error
            self._add_unreadable(entry, name, f"a link that cannot be followed ({error.strerror})")
            return
        if stat.S_ISDIR(state.st_mode):
            if is_link and is_data_file(entry.name, self._feed):
                self._add_unreadable(entry, name, "a link to a folder, not to a file")
            else:
                (self._linked if is_link else self._folders).append((entry.path, name))
        elif not stat.S_ISREG(state.st_mode):
            kind = next((kind for is_kind, kind in _SPECIAL_KINDS if is_kind(state.st_mode)), "something else")
            self._add_unreadable(entry, name, f"{kind}, not a file")
        elif not is_data_file(entry.name, self._feed):
            self.listing.skipped_entries.append(skipped_file(printable_name(name), self._feed))
        elif not is_utf8(name):
            self._add_unreadable(entry, name, "its name is not UTF-8: rename it")
        else:
            version = f"{state.st_size}/{state.st_mtime_ns}/{state.st_ctime_ns}/{state.st_ino}/{device}"
            is_settled = self._now - state.st_ctime_ns > _SETTLED_AFTER_NS
            self.listing.files.append(LandingFile(name, entry.path, state.st_size, version, is_settled=is_settled))

    def _add_unreadable(self, entry: os.DirEntry[str], name: str, problem: str) -> None:
        if is_data_file(entry.name, self._feed):
            self.listing.files.append(LandingFile(printable_name(name), entry.path, 0, problem, problem))
        else:
            self._skip(name, problem)

    def _skip(self, name: str, reason: str) -> None:
        self.listing.skipped_entries.append(SkippedEntry(printable_name(name), reason))


def _listing_error(name: str, reason: str | None) -> LandingError:
    return LandingError(
        f"{printable_name(name)}/ in the landing zone cannot be listed ({reason}). "
        "Give this user read permission, or move it out of the landing zone."
    )

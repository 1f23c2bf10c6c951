"""Access the landing zone: list a feed's files, in a folder or an object store, and write new ones.

It uses fsspec rather than DuckDB's httpfs. fsspec reaches every store (S3, GCS, Azure, and any other that has a driver on PyPI),
installs from PyPI alone behind a firewall, and fetches whole files, which the sha256 of a file needs anyway.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

import fsspec
from fsspec.asyn import AsyncFileSystem
from fsspec.implementations.local import LocalFileSystem

from orchestration.errors import LandingError, StartsError
from orchestration.files import put_in_place
from orchestration.installation import how_to_install
from orchestration.landing.listing import (
    HIDDEN_REASON,
    LandingFile,
    Listing,
    SkippedEntry,
    device_of,
    is_data_file,
    is_hidden,
    list_folder,
    printable_name,
    skipped_file,
)
from orchestration.landing.reading.streams import ChangedFileError, UnreadableFileError
from orchestration.settings import PROJECT_ROOT

_BUNDLED = PROJECT_ROOT / "seeds"

# Other folders that the project reads or writes in a landing zone, beside the feeds.
_OTHER_FOLDERS = ("botmaker/sent_results_lists", "botmaker/whatsapp_templates")
# With this cutoff, `webhook/`, `Webhooks2/` and `send/` are close to a feed's name, `archive/` is not.
_CLOSE_NAME = 0.8


@dataclass(frozen=True)
class LocalCopy:
    """A file of the zone on this machine, or the error that prevented fetching it."""

    file: LandingFile
    path: Path
    error: ChangedFileError | UnreadableFileError | None = None


# The optional dependency of pyproject.toml for each scheme.
_DRIVERS = {"s3": "s3", "gs": "gcs", "gcs": "gcs", "abfs": "azure", "abfss": "azure", "az": "azure"}


class LandingZone:
    """A folder or object-store URI, as in STARTS_LANDING. Raises `StartsError` if it cannot be read."""

    def __init__(self, location: str, feeds: tuple[str, ...]) -> None:
        self.location = location
        self._feeds = feeds
        if location.startswith(("http://", "https://")):
            # fsspec would look for links in the page, find none, and the zone would seem empty.
            raise StartsError(
                f"STARTS_LANDING is {location}: files cannot be listed at a web address. Set it to a folder or a bucket, such as s3://…."
            )
        try:
            self._filesystem, self._root = fsspec.core.url_to_fs(location)
        except (ImportError, ValueError) as error:
            extra = _DRIVERS.get(location.partition("://")[0].lower())
            how = f"Install one: `{how_to_install(extra)}`." if extra else f"The project has drivers for {', '.join(_DRIVERS)}."
            raise StartsError(f"STARTS_LANDING is {location}, and no driver for it is installed ({error}). {how}") from error
        self._check(feeds)

    def _check(self, feeds: tuple[str, ...]) -> None:
        if isinstance(self._filesystem, LocalFileSystem):
            self._check_folder(feeds)
        else:
            self._check_bucket()

    def _check_bucket(self) -> None:
        # In an object store, a prefix without objects does not exist; it is an empty zone. A bucket that does not exist is a mistake.
        bucket = self._root.partition("/")[0]
        try:
            exists = not bucket or self._filesystem.exists(bucket)
        except Exception as error:  # each store's driver has its own
            raise LandingError(f"The landing zone {self.location} cannot be reached: {error}") from error
        if not exists:
            raise StartsError(f"STARTS_LANDING is {self.location}, but {bucket} does not exist, or these credentials have no access to it.")

    def _check_folder(self, feeds: tuple[str, ...]) -> None:
        folder = Path(self._root)
        try:
            if not folder.is_dir():
                what = "is a file" if folder.exists() else "does not exist"
                raise StartsError(f"The landing folder {folder} {what}. Set STARTS_LANDING to the folder that holds {_listed(feeds)}.")
            entries = sorted(entry.name for entry in folder.iterdir())
            has_feeds = any((folder / PurePosixPath(feed).parts[0]).is_dir() for feed in feeds)
        except OSError as error:
            raise LandingError(f"The landing folder {folder} cannot be read ({error.strerror}). Give this user read permission.") from error
        if entries and not has_feeds:
            raise StartsError(
                f"The landing folder {folder} holds {', '.join(map(printable_name, entries[:5]))} but none of {_listed(feeds)}. "
                "Set STARTS_LANDING to the folder above them."
            )

    def files(self, feed: str) -> list[LandingFile]:
        """Return the data files of a feed by name, without hidden ones. Subfolders are included."""
        return self.listing(feed).files

    def listing(self, feed: str) -> Listing:
        """List a feed's files by name, and the skipped entries. Raises `LandingError` if a folder cannot be listed."""
        if isinstance(self._filesystem, LocalFileSystem):
            return list_folder(Path(self._root), feed)
        folder = f"{self._root}/{feed}"
        self._filesystem.invalidate_cache()
        try:
            found = self._find(folder)
        except FileNotFoundError:
            # An object store has no folders: a feed without objects looks like one that never had any.
            return Listing()
        except Exception as error:  # each store's driver has its own
            raise LandingError(f"The landing zone {self.location}/{feed} cannot be listed: {error}") from error
        listing = Listing()
        for path, info in sorted(found.items()):
            parts = PurePosixPath(path).relative_to(folder).parts
            if not parts or path.endswith("/"):
                continue
            if any(map(is_hidden, parts)):
                if is_data_file(parts[-1], feed):
                    listing.skipped_entries.append(SkippedEntry(printable_name(f"{feed}/{'/'.join(parts)}"), HIDDEN_REASON))
            elif is_data_file(parts[-1], feed):
                listing.files.append(self._file(path, info))
            else:
                listing.skipped_entries.append(skipped_file(printable_name(f"{feed}/{'/'.join(parts)}"), feed))
        return listing

    def _find(self, folder: str) -> dict[str, dict[str, Any]]:
        """List all files below a folder of an object store; raise the driver's own errors."""
        if _has_recursive_find(self._filesystem):
            return self._filesystem.find(folder, detail=True)
        # fsspec's own `find` leaves out the subfolders that it cannot list.
        found: dict[str, dict[str, Any]] = {}
        folders = {folder}
        listed: set[str] = set()
        while folders:
            path = folders.pop()
            listed.add(path)
            entries = {info["name"].rstrip("/"): info for info in self._filesystem.ls(path, detail=True)}
            folders |= {name for name, info in entries.items() if info["type"] == "directory"} - listed
            found |= {name: info for name, info in entries.items() if info["type"] != "directory"}
        return found

    def misplaced(self) -> list[SkippedEntry]:
        """Return folders whose names are close to a feed's, in its own parent folder or another, and data files outside all feeds' folders.

        Raises `LandingError` if a folder above the feeds cannot be listed.
        """
        known = {*self._feeds, *_OTHER_FOLDERS}
        known |= {str(parent) for name in known for parent in PurePosixPath(name).parents if parent.name}
        elsewhere = {PurePosixPath(name).name: name for name in sorted(known)}
        skipped_entries: list[SkippedEntry] = []
        for parent in sorted({str(PurePosixPath(name).parent) for name in known}):
            here = {PurePosixPath(name).name: name for name in sorted(known) if str(PurePosixPath(name).parent) == parent}
            for name, is_folder in sorted(self._entries(parent)):
                if is_hidden(name) or name in here:
                    continue
                shown = printable_name(name if parent == "." else f"{parent}/{name}")
                meant = _close_name(name, here) or _close_name(name, elsewhere)
                if is_folder and meant:
                    skipped_entries.append(SkippedEntry(f"{shown}/", f"its name is close to {meant}/, and only that is read"))
                elif not is_folder and any(is_data_file(name.lower(), feed) for feed in self._feeds):
                    skipped_entries.append(SkippedEntry(shown, "it is outside the feeds' folders"))
        return skipped_entries

    def _entries(self, folder: str) -> list[tuple[str, bool]]:
        """Return (name, whether it is a folder) of each direct entry of a folder of the zone; nothing if there is no such folder."""
        try:
            if isinstance(self._filesystem, LocalFileSystem):
                return [(entry.name, entry.is_dir()) for entry in (Path(self._root) / folder).iterdir()]
            path = self._root if folder == "." else f"{self._root}/{folder}"
            found = self._filesystem.ls(path, detail=True)
            return [(PurePosixPath(info["name"]).name, info["type"] == "directory") for info in found if info["name"].strip("/") != path]
        except FileNotFoundError:
            return []
        except Exception as error:  # each store's driver has its own
            raise LandingError(f"The landing zone {self.location}/{folder} cannot be listed: {error}") from error

    def was_removed(self, name: str, version: str) -> bool:
        """Return whether a file that is no longer listed was removed, rather than its folder with it.

        If the folder does not exist, or a folder on another disk is in its place, the file is only away and may come back. In an
        object store, a file that is not listed is gone.
        """
        device = device_of(version)
        if device is None:
            return True
        try:
            return str((Path(self._root) / name).parent.stat().st_dev) == device
        except OSError:
            return False

    def refuse_bundled_files(self) -> None:
        """Raise `StartsError` if this zone is part of the project, because fetched files belong elsewhere."""
        if isinstance(self._filesystem, LocalFileSystem) and Path(self._root).resolve().is_relative_to(_BUNDLED):
            raise StartsError(
                "STARTS_LANDING is not set, or is a folder of the project itself, whose files are samples. "
                "Set STARTS_LANDING to a folder or bucket of your own; an empty folder will do."
            )

    def read(self, name: str) -> bytes:
        """Return the bytes of a file of the zone as they are stored."""
        try:
            return self._filesystem.cat_file(f"{self._root}/{name}")
        except Exception as error:  # each store's driver has its own
            raise StartsError(f"{self.location}/{name} cannot be read: {error}") from error

    def write(self, name: str, content: bytes) -> None:
        """Write a whole file into the zone, or nothing; a reader never sees a part of it."""
        target = f"{self._root}/{name}"
        try:
            if isinstance(self._filesystem, LocalFileSystem):
                _write_local(Path(target), content)
            else:
                # An object store shows an object only when it is complete.
                self._filesystem.pipe_file(target, content)
        except Exception as error:  # each store's driver has its own
            raise StartsError(f"{self.location}/{name} cannot be written: {error}. Give this user write permission there.") from error

    def _file(self, path: str, info: dict[str, Any]) -> LandingFile:
        stamp = info.get("ETag") or info.get("etag") or info.get("md5Hash") or info.get("mtime") or info.get("LastModified") or ""
        name = str(PurePosixPath(path).relative_to(self._root))
        return LandingFile(name=name, location=path, bytes=int(info["size"] or 0), version=f"{info['size']}/{stamp}")

    @contextmanager
    def local_copies(self, files: list[LandingFile]) -> Iterator[list[LocalCopy]]:
        """Yield the files as local copies; remote files are fetched for the duration of a `with` block."""
        if isinstance(self._filesystem, LocalFileSystem):
            yield [LocalCopy(file, Path(file.location)) for file in files]
            return
        with TemporaryDirectory(prefix="landing-") as folder:
            yield [self._fetched(file, Path(folder) / str(number)) for number, file in enumerate(files)]

    def _fetched(self, file: LandingFile, path: Path) -> LocalCopy:
        try:
            before = self._version(file)
            self._filesystem.get_file(file.location, str(path))
            after = self._version(file)
        except (FileNotFoundError, PermissionError) as error:
            return LocalCopy(file, path, UnreadableFileError(f"it cannot be read ({error})"))
        if before != after:
            # Drivers fetch large objects in parts, each from the version that exists at that moment.
            return LocalCopy(file, path, ChangedFileError("it changed while it was being read"))
        return LocalCopy(file, path)

    def _version(self, file: LandingFile) -> str:
        self._filesystem.invalidate_cache(file.location)
        return self._file(file.location, self._filesystem.info(file.location)).version


def _close_name(name: str, known: Mapping[str, str]) -> str | None:
    """Return the value of the known name that is close to a name, or None."""
    close = get_close_matches(name.lower(), known, n=1, cutoff=_CLOSE_NAME)
    return known[close[0]] if close else None


def _has_recursive_find(filesystem: fsspec.AbstractFileSystem) -> bool:
    """Return whether a driver has its own recursive listing, as those of S3, GCS and Azure do."""
    if isinstance(filesystem, AsyncFileSystem):
        return type(filesystem)._find is not AsyncFileSystem._find
    return type(filesystem).find is not fsspec.AbstractFileSystem.find


def _write_local(target: Path, content: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    # Hidden, so that `files` leaves it out. The next write overwrites a draft that a kill left behind.
    draft = target.with_name(f".{target.name}.draft")
    draft.write_bytes(content)
    put_in_place(draft, target)


def _listed(feeds: tuple[str, ...]) -> str:
    return ", ".join(f"{feed}/" for feed in feeds)

"""The landing zone: which files a feed has, in a folder or an object store; and how a new one is put there.

fsspec rather than DuckDB's httpfs: it reaches every store (S3, GCS, Azure, and whatever else has a
driver on PyPI), installs from PyPI alone behind a firewall, and hands over whole files, which the
sha256 of a file needs anyway.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from orchestration.errors import StartsError
from orchestration.files import put_in_place
from orchestration.settings import PROJECT_ROOT

_DATA_ENDINGS = (".jsonl", ".ndjson", ".json")
_PACKED_ENDINGS = ("", ".gz", ".zst")
_BUNDLED = PROJECT_ROOT / "seeds"


@dataclass(frozen=True)
class LandingFile:
    """A file of a feed. `version` changes when the file does; `name` is relative to the landing zone."""

    name: str
    location: str
    bytes: int
    version: str


class LandingZone:
    """A folder or object-store URI, as in STARTS_LANDING. Raises `StartsError` where it cannot be read."""

    def __init__(self, location: str, feeds: tuple[str, ...]) -> None:
        self.location = location
        if location.startswith(("http://", "https://")):
            # fsspec would look for links in the page, find none, and the zone would seem empty.
            raise StartsError(
                f"STARTS_LANDING is {location}: a web address has no list of files. Give a folder or a bucket, such as s3://…."
            )
        try:
            self._filesystem, self._root = fsspec.core.url_to_fs(location)
        except (ImportError, ValueError) as error:
            raise StartsError(
                f"STARTS_LANDING is {location}, and there is no driver for it here ({error}). "
                "Install one: `.venv/bin/uv sync --inexact --extra s3`, `--extra gcs` or `--extra azure`."
            ) from error
        self._check(feeds)

    def _check(self, feeds: tuple[str, ...]) -> None:
        if isinstance(self._filesystem, LocalFileSystem):
            self._check_folder(feeds)
        else:
            self._check_bucket()

    def _check_bucket(self) -> None:
        # A prefix without objects does not exist in a store, and is an empty zone; a bucket that does not is a mistake.
        bucket = self._root.partition("/")[0]
        try:
            is_there = not bucket or self._filesystem.exists(bucket)
        except Exception as error:  # each store's driver has its own
            raise StartsError(f"The landing zone {self.location} cannot be reached: {error}") from error
        if not is_there:
            raise StartsError(f"STARTS_LANDING is {self.location}, but there is no {bucket}, or these credentials may not see it.")

    def _check_folder(self, feeds: tuple[str, ...]) -> None:
        folder = Path(self._root)
        if not folder.is_dir():
            what = "is a file" if folder.exists() else "does not exist"
            raise StartsError(f"The landing folder {folder} {what}. Set STARTS_LANDING to the folder that holds {_listed(feeds)}.")
        try:
            entries = sorted(entry.name for entry in folder.iterdir())
        except OSError as error:
            raise StartsError(
                f"The landing folder {folder} cannot be read ({error.strerror}). Give this user the right to read it."
            ) from error
        if entries and not any((folder / PurePosixPath(feed).parts[0]).is_dir() for feed in feeds):
            raise StartsError(
                f"The landing folder {folder} holds {', '.join(entries[:5])} but none of {_listed(feeds)}. "
                "Set STARTS_LANDING to the folder above them."
            )

    def files(self, feed: str) -> list[LandingFile]:
        """List the data files of a feed by name, hidden ones left out. Sub-folders count."""
        folder = f"{self._root}/{feed}"
        try:
            self._filesystem.invalidate_cache()
            found: dict[str, dict[str, Any]] = self._filesystem.find(folder, detail=True)
        except FileNotFoundError:
            return []
        except Exception as error:  # each store's driver has its own
            raise StartsError(f"The landing zone {self.location}/{feed} cannot be listed: {error}") from error
        return [self._file(path, info) for path, info in sorted(found.items()) if _is_data_file(path, folder)]

    def refuse_bundled_files(self) -> None:
        """Raise `StartsError` if this zone is part of the project: what is fetched belongs somewhere else."""
        if isinstance(self._filesystem, LocalFileSystem) and Path(self._root).resolve().is_relative_to(_BUNDLED):
            raise StartsError(
                "STARTS_LANDING is not set, or is a folder of the project itself, whose files are samples. "
                "Set STARTS_LANDING to a folder or bucket of your own; an empty folder will do."
            )

    def read(self, name: str) -> bytes:
        """Return the bytes of a file of the zone, as they lie there."""
        try:
            return self._filesystem.cat_file(f"{self._root}/{name}")
        except Exception as error:  # each store's driver has its own
            raise StartsError(f"{self.location}/{name} cannot be read: {error}") from error

    def write(self, name: str, content: bytes) -> None:
        """Put a whole file into the zone, or none: nobody ever sees half of it."""
        target = f"{self._root}/{name}"
        try:
            if isinstance(self._filesystem, LocalFileSystem):
                _write_local(Path(target), content)
            else:
                # A store shows an object when all of it is there.
                self._filesystem.pipe_file(target, content)
        except Exception as error:  # each store's driver has its own
            raise StartsError(f"{self.location}/{name} cannot be written: {error}. Give this user the right to write there.") from error

    def _file(self, path: str, info: dict[str, Any]) -> LandingFile:
        stamp = info.get("ETag") or info.get("etag") or info.get("md5Hash") or info.get("mtime") or info.get("LastModified") or ""
        name = str(PurePosixPath(path).relative_to(self._root))
        return LandingFile(name=name, location=path, bytes=int(info["size"] or 0), version=f"{info['size']}/{stamp}")

    @contextmanager
    def local_copies(self, files: list[LandingFile]) -> Iterator[list[Path]]:
        """Give local paths of the files, fetched for the time of a `with` block if they are remote."""
        if isinstance(self._filesystem, LocalFileSystem):
            yield [Path(file.location) for file in files]
            return
        with TemporaryDirectory(prefix="landing-") as folder:
            paths = [Path(folder) / str(number) for number in range(len(files))]
            for file, path in zip(files, paths, strict=True):
                self._filesystem.get_file(file.location, str(path))
            yield paths


def _write_local(target: Path, content: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    # Hidden, so that `files` leaves it out; a draft that a kill left behind is overwritten by the next one.
    draft = target.with_name(f".{target.name}.draft")
    draft.write_bytes(content)
    put_in_place(draft, target)


def _is_data_file(path: str, folder: str) -> bool:
    parts = PurePosixPath(path).relative_to(folder).parts
    if any(part.startswith((".", "_")) for part in parts):
        return False
    return parts[-1].endswith(tuple(data + packed for data in _DATA_ENDINGS for packed in _PACKED_ENDINGS))


def _listed(feeds: tuple[str, ...]) -> str:
    return ", ".join(f"{feed}/" for feed in feeds)

"""Keep the parsed dbt project on disk, for every data folder and process that needs it.

Parsing takes dbt 1.4 CPU seconds; loading the parsed project takes 0.03. The parsed project is looked up by a hash of everything
that the parser reads, so it is never stale. Other project versions, variables and dbt versions are parsed once and kept beside it.
"""

import hashlib
import json
import os
import shutil
import uuid
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestration.installation import IS_CLONE
from orchestration.settings import DBT_PROJECT_DIR, Settings
from orchestration.transform.builds import definition_sha256
from orchestration.transform.dbt_import import import_dbt
from orchestration.transform.invocation import DbtError, common_arguments, invoke
from orchestration.transform.lookups import refuse_unreadable_lookups

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest

_MANIFEST_JSON = "manifest.json"
_MANIFEST_OF_DBT = "partial_parse.msgpack"
_CHECKSUM = "sha256"
# In a clone, below dbt's own folder. If that is read-only, or the project is an installed package, the data folder is used instead.
_SHARED_FOLDER = DBT_PROJECT_DIR / "target" / "parsed"
# A parsed project takes 3 MB. A few versions and time zones are used in turn; the least recently used folders are deleted.
_MAX_PARSED_PROJECTS = 8


@dataclass(frozen=True)
class ParsedProject:
    """A parsed project: `json_path` is the path of dbt's manifest.json, `json` its content."""

    folder: Path

    @property
    def json_path(self) -> Path:
        return self.folder / _MANIFEST_JSON

    @property
    def is_shared(self) -> bool:
        """Return whether the folder is in the clone, not below a data folder."""
        return self.folder.parent == _SHARED_FOLDER

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.json_path.read_text(encoding="utf-8"))

    def manifest(self) -> "Manifest":
        """Load dbt's own manifest. Each call returns a new one, because a run writes into it."""
        import_dbt()
        from dbt.contracts.graph.manifest import Manifest
        from dbt.parser.manifest import extended_mashumuro_decoder

        # dbt declares the wrong type for `decoder`; its own code passes the same decoder.
        return Manifest.from_msgpack((self.folder / _MANIFEST_OF_DBT).read_bytes(), decoder=extended_mashumuro_decoder)  # pyright: ignore[reportArgumentType]


def parsed_project(settings: Settings) -> ParsedProject:
    """Return the project parsed with the variables of these settings. Parse it only if no process has parsed it before.

    Raises `BlockedError` if a look-up cannot be read, `DbtError` if dbt cannot parse the project for another reason, and `OSError` if
    nothing can be written below the data folder.
    """
    key = _key(settings)
    for folder in _folders(settings):
        if _is_intact(folder / key):
            # The folder's mtime records its last use. In a read-only project it cannot be set, and nothing is deleted there.
            with suppress(OSError):
                os.utime(folder / key)
            return ParsedProject(folder / key)
    return _parse(settings, key)


def _folders(settings: Settings) -> tuple[Path, Path]:
    own = settings.dbt_target_dir / "parsed"
    return (_SHARED_FOLDER if IS_CLONE else own), own


def _key(settings: Settings) -> str:
    """Hash what dbt's parser reads: the project's files and variables, the profile and its target, and the version of dbt."""
    profile = (DBT_PROJECT_DIR / "profiles.yml").read_bytes()
    target = os.environ.get("STARTS_DBT_TARGET", settings.engine)
    parts = [definition_sha256(settings), hashlib.sha256(profile).hexdigest(), target, _dbt_version()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


@cache
def _dbt_version() -> str:
    return " ".join(version(package) for package in ("dbt-core", "dbt-duckdb"))


def _is_intact(folder: Path) -> bool:
    """Verify the checksum: a full disk or an interrupted copy may have left an incomplete parsed project."""
    try:
        return (folder / _CHECKSUM).read_text(encoding="utf-8") == _checksum(folder)
    except OSError:
        return False


def _checksum(folder: Path) -> str:
    return hashlib.sha256((folder / _MANIFEST_JSON).read_bytes() + (folder / _MANIFEST_OF_DBT).read_bytes()).hexdigest()


def _parse(settings: Settings, key: str) -> ParsedProject:
    """Parse into a folder that only this process uses, then rename it, so that no reader sees an incomplete one."""
    shared, draft = _new_draft(settings)
    try:
        try:
            invoke(settings, ["parse", *common_arguments(settings, draft)])
        except DbtError:
            # dbt's error does not list the file or the line of a look-up that it cannot read.
            refuse_unreadable_lookups()
            raise
        (draft / _CHECKSUM).write_text(_checksum(draft), encoding="utf-8")
        _move_into_place(draft, shared / key)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    _remove_oldest(shared)
    return ParsedProject(shared / key)


def _move_into_place(draft: Path, place: Path) -> None:
    try:
        draft.rename(place)
    except OSError:
        # Another process was faster and its folder is just as good, or the existing folder is damaged.
        if not _is_intact(place):
            shutil.rmtree(place)
            draft.rename(place)


def _new_draft(settings: Settings) -> tuple[Path, Path]:
    """Create an empty folder in the first writable place; return that place and the folder."""
    shared, own = _folders(settings)
    name = f"draft-{uuid.uuid4().hex}"
    try:
        (shared / name).mkdir(parents=True)
        return shared, shared / name
    except OSError:
        (own / name).mkdir(parents=True)
        return own, own / name


def _remove_oldest(folder: Path) -> None:
    for path in sorted(folder.iterdir(), key=_last_used, reverse=True)[_MAX_PARSED_PROJECTS:]:
        shutil.rmtree(path, ignore_errors=True)


def _last_used(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0

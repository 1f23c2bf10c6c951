"""The dbt project as dbt has parsed it, kept on disk for every data folder and process that needs it.

Parsing takes dbt 1.4 CPU seconds, reading what it has parsed 0.03. A parsed project is found by a hash of everything that
parsing reads, so it is never out of date; another version, variable or dbt parses once and is kept beside it.
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
from orchestration.transform.invocation import common_arguments, invoke

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest

_MANIFEST_JSON = "manifest.json"
_MANIFEST_OF_DBT = "partial_parse.msgpack"
_CHECKSUM = "sha256"
# Below dbt's own folder of a clone; below the data folder where that is read-only, or the project is an installed package.
_SHARED_FOLDER = DBT_PROJECT_DIR / "target" / "parsed"
# A parsed project is 3 MB. A few versions and time zones are used in turn; the folders used longest ago are deleted.
_KEPT = 8


@dataclass(frozen=True)
class ParsedProject:
    """A parsed project: `json_path` is dbt's manifest.json, `json` what it holds."""

    folder: Path

    @property
    def json_path(self) -> Path:
        return self.folder / _MANIFEST_JSON

    @property
    def is_shared(self) -> bool:
        """Whether it lies in the clone, and not below a data folder."""
        return self.folder.parent == _SHARED_FOLDER

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.json_path.read_text(encoding="utf-8"))

    def manifest(self) -> "Manifest":
        """Return dbt's own manifest, a new one each time: a run writes into it."""
        import_dbt()
        from dbt.contracts.graph.manifest import Manifest
        from dbt.parser.manifest import extended_mashumuro_decoder

        # The type of the decoder is dbt's own mistake: it passes the same one.
        return Manifest.from_msgpack((self.folder / _MANIFEST_OF_DBT).read_bytes(), decoder=extended_mashumuro_decoder)  # pyright: ignore[reportArgumentType]


def parsed_project(settings: Settings) -> ParsedProject:
    """Return the project parsed with the variables of these settings; parse it only where no process has before.

    Raises `DbtError` where dbt cannot parse it, and `OSError` where nothing can be written below the data folder.
    """
    key = _key(settings)
    for folder in _folders(settings):
        if _is_whole(folder / key):
            # The folder's time says when it was last used; in a read-only project nothing is deleted by it.
            with suppress(OSError):
                os.utime(folder / key)
            return ParsedProject(folder / key)
    return _parse(settings, key)


def _folders(settings: Settings) -> tuple[Path, Path]:
    own = settings.dbt_target_dir / "parsed"
    return (_SHARED_FOLDER if IS_CLONE else own), own


def _key(settings: Settings) -> str:
    """Hash what dbt's parser reads: the project's files and variables, the profile and its target, dbt itself."""
    profile = (DBT_PROJECT_DIR / "profiles.yml").read_bytes()
    target = os.environ.get("STARTS_DBT_TARGET", settings.engine)
    parts = [definition_sha256(settings), hashlib.sha256(profile).hexdigest(), target, _dbt_version()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


@cache
def _dbt_version() -> str:
    return " ".join(version(package) for package in ("dbt-core", "dbt-duckdb"))


def _is_whole(folder: Path) -> bool:
    """Compare with the checksum: a full disk or a copy that was cut short may have left half of a parsed project."""
    try:
        return (folder / _CHECKSUM).read_text(encoding="utf-8") == _checksum(folder)
    except OSError:
        return False


def _checksum(folder: Path) -> str:
    return hashlib.sha256((folder / _MANIFEST_JSON).read_bytes() + (folder / _MANIFEST_OF_DBT).read_bytes()).hexdigest()


def _parse(settings: Settings, key: str) -> ParsedProject:
    """Parse into a folder of this process's own and move it into place as one, so that no reader sees half of it."""
    shared, draft = _new_draft(settings)
    try:
        invoke(settings, ["parse", *common_arguments(settings, draft)])
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
        # Another process was faster, and its folder is as good; or what lies there is damaged.
        if not _is_whole(place):
            shutil.rmtree(place)
            draft.rename(place)


def _new_draft(settings: Settings) -> tuple[Path, Path]:
    """Create an empty folder in the first place that can be written to; return that place and the folder."""
    shared, own = _folders(settings)
    name = f"draft-{uuid.uuid4().hex}"
    try:
        (shared / name).mkdir(parents=True)
        return shared, shared / name
    except OSError:
        (own / name).mkdir(parents=True)
        return own, own / name


def _remove_oldest(folder: Path) -> None:
    for path in sorted(folder.iterdir(), key=_last_used, reverse=True)[_KEPT:]:
        shutil.rmtree(path, ignore_errors=True)


def _last_used(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0

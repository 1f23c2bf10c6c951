"""How this project is installed: as a clone, which runs in place, or as a package, which bundles the files of a clone that it needs."""

import sys
import tomllib
from importlib import metadata
from pathlib import Path

COMMAND = "conversation-starts"

_PACKAGE = Path(__file__).resolve().parent
# hatch_build.py adds it to the package; a clone has no such folder.
_BUNDLED = _PACKAGE / "bundled"

IS_CLONE = not _BUNDLED.exists()
PROJECT_ROOT = _PACKAGE.parent if IS_CLONE else _BUNDLED
# The base of relative paths, `.env` and the default data folder: the clone, or the folder in which the command is called.
BASE_FOLDER = PROJECT_ROOT if IS_CLONE else Path.cwd()


def version() -> str:
    """Return the version of the package; in a clone, that of pyproject.toml, which may have changed since the installation."""
    if IS_CLONE:
        return tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    return metadata.version(COMMAND)


def command() -> str:
    """Return how to call the command line in this installation, for messages."""
    return COMMAND if not IS_CLONE or Path(sys.argv[0]).stem == COMMAND else "python -m orchestration"


def how_to_install(extra: str) -> str:
    """Return the command that installs one of the optional dependencies in pyproject.toml."""
    return f".venv/bin/uv sync --inexact --extra {extra}" if IS_CLONE else f"uv tool install --force '<the wheel or the clone>[{extra}]'"

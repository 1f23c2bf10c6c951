"""How this project is installed: as a clone, from which it runs, or as a package, which brings what it needs of one with it."""

import sys
import tomllib
from importlib import metadata
from pathlib import Path

COMMAND = "conversation-starts"

_PACKAGE = Path(__file__).resolve().parent
# hatch_build.py puts it into the package; a clone has no such folder.
_BUNDLED = _PACKAGE / "bundled"

IS_CLONE = not _BUNDLED.exists()
PROJECT_ROOT = _PACKAGE.parent if IS_CLONE else _BUNDLED
# From where relative paths, `.env` and the default data folder are taken: the clone, or the folder in which the command is called.
BASE_FOLDER = PROJECT_ROOT if IS_CLONE else Path.cwd()


def version() -> str:
    """Return the version that pyproject.toml gives, which a clone may have changed since it was installed."""
    if IS_CLONE:
        return tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    return metadata.version(COMMAND)


def command() -> str:
    """Return how our command is called here, for texts that name it."""
    return COMMAND if not IS_CLONE or Path(sys.argv[0]).stem == COMMAND else "python -m orchestration"


def how_to_install(extra: str) -> str:
    """Return the command that adds one of the optional dependencies of pyproject.toml."""
    return f".venv/bin/uv sync --inexact --extra {extra}" if IS_CLONE else f"pip install '<the wheel>[{extra}]'"

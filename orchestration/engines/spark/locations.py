"""Convert paths to the locations of Spark and Iceberg and back. A location is `file:` and the path, without any encoding."""

from __future__ import annotations

import re
from pathlib import Path

_SCHEME = "file:"


def location_of(path: Path) -> str:
    """Return the location of a path, for an argument that takes no pattern."""
    return f"{_SCHEME}{path}"


def pattern_of(path: Path) -> str:
    """Return the location of one file, escaped for an argument that takes patterns, such as that of a reader."""
    return location_of(Path(re.sub(r"([\\\[\]{}*?,])", r"\\\1", str(path))))


def local_path(location: str) -> str:
    """Return the path of a location such as `file:/lake/raw/…` or `file:///lake/raw/…`."""
    path = location.removeprefix(_SCHEME)
    return f"/{path.lstrip('/')}" if path != location else location

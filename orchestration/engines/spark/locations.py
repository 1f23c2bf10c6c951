"""Paths as Spark and Iceberg write them: `file:` and the path as it is, of which nothing is encoded."""

from __future__ import annotations

import re
from pathlib import Path

_SCHEME = "file:"


def location_of(path: Path) -> str:
    """Return the location of a path, for a place that takes no pattern."""
    return f"{_SCHEME}{path}"


def pattern_of(path: Path) -> str:
    """Return the location of one file, for a place that takes patterns, such as a reader."""
    return location_of(Path(re.sub(r"([\\\[\]{}*?,])", r"\\\1", str(path))))


def local_path(location: str) -> str:
    """Return the path of a location such as `file:/lake/raw/…` or `file:///lake/raw/…`."""
    path = location.removeprefix(_SCHEME)
    return f"/{path.lstrip('/')}" if path != location else location

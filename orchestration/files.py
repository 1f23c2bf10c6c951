"""Files that are replaced as a whole or not at all, and their names in SQL."""

import hashlib
import os
from pathlib import Path


def put_in_place(draft: Path, target: Path) -> None:
    """Turn a finished draft into the file itself, so that a crash leaves either the old bytes or the new ones."""
    with draft.open("rb") as file:
        os.fsync(file.fileno())
    draft.replace(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def quoted(value: object) -> str:
    """Quote a path or text as a SQL literal, for the statements in which nothing can be bound."""
    return "'" + str(value).replace("'", "''") + "'"

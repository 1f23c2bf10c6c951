"""Ways to damage a DuckDB file, or to make it one that this version cannot read."""

import os
import random
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

# Three headers of 4 KiB, then blocks of 256 KiB, each with a checksum.
_HEADERS = 3 * 4096

_COMMIT_AND_DIE = """
import duckdb, os, sys
connection = duckdb.connect(sys.argv[1])
connection.execute("create table log as select range from range(1000)")
for number in range(50):
    connection.execute(f"insert into log values ({number})")
os._exit(0)
"""


def _overwrite(path: Path, offset: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(content)


def flip_bytes(path: Path) -> None:
    """Change 64 bytes anywhere except in the first header, as a failing disk does."""
    draw, size = random.Random(1), path.stat().st_size
    for _ in range(64):
        _overwrite(path, draw.randrange(4096, size), bytes([draw.randrange(256)]))


def damage_data(path: Path) -> None:
    """Change every block after the first, so that the file still opens."""
    for offset in range(_HEADERS + 1000, path.stat().st_size, 262_144):
        _overwrite(path, offset, b"x" * 1000)


def cut_in_half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def cut_to_nothing(path: Path) -> None:
    os.truncate(path, 0)


def be_a_text(path: Path) -> None:
    path.write_bytes(b"not what DuckDB wrote\n" * 1000)


def be_a_sqlite_file(path: Path) -> None:
    path.write_bytes(b"SQLite format 3\0" + bytes(8176))


def damage_header(path: Path) -> None:
    _overwrite(path, 4096, b"\xee" * 8)


def damage_log(path: Path) -> None:
    """Change the middle of the write-ahead log that a killed process left after its last checkpoint."""
    subprocess.run([sys.executable, "-c", _COMMIT_AND_DIE, str(path)], check=True)
    log = path.with_name(path.name + ".wal")
    _overwrite(log, log.stat().st_size // 2, b"\xff" * 8)


DAMAGES: dict[str, Callable[[Path], None]] = {
    damage.__name__: damage for damage in (flip_bytes, cut_in_half, cut_to_nothing, be_a_text, be_a_sqlite_file, damage_header, damage_log)
}


def be_of_storage_version(path: Path, version: int) -> None:
    """Set the storage version in the first header to that of another DuckDB version."""
    header = bytearray(path.read_bytes()[:4096])
    header[12:20] = struct.pack("<Q", version)
    header[:8] = struct.pack("<Q", _checksum(bytes(header[8:])))
    _overwrite(path, 0, bytes(header))


def _checksum(content: bytes) -> int:
    """Return DuckDB's checksum of a block."""
    checksum = 5381
    for (word,) in struct.iter_unpack("<Q", content):
        checksum ^= word * 0xBF58476D1CE4E5B9 & 0xFFFF_FFFF_FFFF_FFFF
    return checksum

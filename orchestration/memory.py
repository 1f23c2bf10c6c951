"""How much memory DuckDB may take: as much as its data needs, and a share of what this machine, or the container it is in, has."""

import os
import re
from pathlib import Path

import duckdb

# What a control group allows its processes: version 2, then version 1. Without a limit they hold `max`, or more than any machine has.
_CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))

_LEAST_BYTES = 1_500_000_000
_BYTES_PER_ROW = 200

_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}
_SHARE = re.compile(r"([0-9]{1,3})\s*%")
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([KMGT]?i?B)", re.IGNORECASE)


def bytes_of(amount: str, available: int) -> int | None:
    """Return the bytes of an amount such as `4GB`, `512 MiB` or `60%` of the `available` bytes; None where it is not an amount."""
    share = _SHARE.fullmatch(amount.strip())
    if share is not None:
        return available * int(share[1]) // 100 if 1 <= int(share[1]) <= 100 else None
    size = _SIZE.fullmatch(amount.strip())
    return int(float(size[1]) * _UNITS[size[2].upper()]) if size is not None else None


def default_bytes(available: int, rows: int) -> int:
    """Return how much DuckDB may take for so many landed or published rows where nothing is set, and no more than 60 % of the machine.

    What does not fit is written to the disk, but not all of it can be: of 18.4M landed rows (5M sends), two facts at once could not be
    built with 1.7 GB, and each alone not with 1.2 GB. More than the rows need only keeps more of the file in memory, and a process
    takes two thirds more than DuckDB counts (docs/performance.md).
    """
    return min(available * 60 // 100, max(_LEAST_BYTES, rows * _BYTES_PER_ROW))


def available_bytes(cgroup_limits: tuple[Path, ...] = _CGROUP_LIMITS) -> int:
    """Return the memory of this machine, or of its control group where that is less."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([machine, *(limit for limit in map(_limit, cgroup_limits) if limit is not None)])


def _limit(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def limit_memory(connection: duckdb.DuckDBPyConnection, given: int | None) -> None:
    """Let DuckDB take the `given` bytes, or else what the rows need that have landed or are published.

    DuckDB's own default is 80 % of the machine.
    """
    amount = default_bytes(available_bytes(), _rows_in(connection)) if given is None else given
    connection.execute(f"set memory_limit = '{amount} B'")


def _rows_in(connection: duckdb.DuckDBPyConnection) -> int:
    """Return about how many rows there are in all raw tables, or in a published file; it reads none of them."""
    row = connection.execute("select sum(estimated_size) from duckdb_tables() where schema_name in ('raw', 'main')").fetchone()
    return int(row[0] or 0) if row is not None else 0

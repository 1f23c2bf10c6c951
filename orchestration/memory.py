"""DuckDB's memory limit: as much as the data needs, at most a share of the memory of this machine or container."""

import os
import re
from pathlib import Path

import duckdb

# The memory limit of a control group: version 2, then version 1. Without a limit, they contain `max`, or more than any machine has.
_CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))

_MIN_BYTES = 1_500_000_000
_BYTES_PER_ROW = 200

_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}
_SHARE = re.compile(r"([0-9]{1,3})\s*%")
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([KMGT]?i?B)", re.IGNORECASE)


def bytes_of(amount: str, available: int) -> int | None:
    """Return the bytes of an amount such as `4GB`, `512 MiB` or `60%` of the `available` bytes; None if it is not an amount."""
    share = _SHARE.fullmatch(amount.strip())
    if share is not None:
        return available * int(share[1]) // 100 if 1 <= int(share[1]) <= 100 else None
    size = _SIZE.fullmatch(amount.strip())
    return int(float(size[1]) * _UNITS[size[2].upper()]) if size is not None else None


def default_bytes(available: int, rows: int) -> int:
    """Return the default memory limit for a number of landed or published rows, at most 60 % of the machine.

    DuckDB writes what does not fit to the disk, but not everything can be written: with 18.4M landed rows (5M sends), two fact tables
    could not be built at once with 1.7 GB, and each one alone could not be built with 1.2 GB. A higher limit than the rows need only
    keeps more of the file in memory, and a process takes two thirds more than DuckDB counts (docs/performance.md).
    """
    return min(available * 60 // 100, max(_MIN_BYTES, rows * _BYTES_PER_ROW))


def available_bytes(cgroup_limits: tuple[Path, ...] = _CGROUP_LIMITS) -> int:
    """Return the memory of this machine, or the limit of its control group if that is less."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([machine, *(limit for limit in map(_limit, cgroup_limits) if limit is not None)])


def _limit(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def limit_memory(connection: duckdb.DuckDBPyConnection, limit: int | None) -> None:
    """Set DuckDB's memory limit to `limit` bytes, or else to the default for the landed or published rows.

    DuckDB's own default is 80 % of the machine.
    """
    amount = default_bytes(available_bytes(), _rows_in(connection)) if limit is None else limit
    connection.execute(f"set memory_limit = '{amount} B'")


def _rows_in(connection: duckdb.DuckDBPyConnection) -> int:
    """Return the approximate number of rows in all raw tables, or in a published file, without reading them."""
    row = connection.execute("select sum(estimated_size) from duckdb_tables() where schema_name in ('raw', 'main')").fetchone()
    return int(row[0] or 0) if row is not None else 0

"""How much memory DuckDB may take: a share of what this machine, or the container it is in, has."""

import os
import re
from pathlib import Path

import duckdb

# What a control group allows its processes: version 2, then version 1. Without a limit they hold `max`, or more than any machine has.
_CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))

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


def default_bytes(available: int) -> int:
    """Return how much DuckDB may take where nothing is set: most of a small machine, and of a large one what makes a load faster.

    5M sends took 302 s with 14 GB and with 5 GB, 318 s with 3.5 GB: what does not fit is written to the disk (docs/performance.md).
    A process takes two thirds more than DuckDB counts.
    """
    return min(available * 60 // 100, max(7 * 10**9 // 2, available * 14 // 100))


def available_bytes(cgroup_limits: tuple[Path, ...] = _CGROUP_LIMITS) -> int:
    """Return the memory of this machine, or of its control group where that is less."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([machine, *(limit for limit in map(_limit, cgroup_limits) if limit is not None)])


def _limit(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def limit_memory(connection: duckdb.DuckDBPyConnection, amount: int) -> None:
    """Let DuckDB take that many bytes; its own default is 80 % of the machine."""
    connection.execute(f"set memory_limit = '{amount} B'")

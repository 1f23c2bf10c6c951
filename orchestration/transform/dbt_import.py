"""dbt is imported by what calls it. Its import takes a quarter of the CPU seconds of a run without news, which never calls it."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_VERSION = "dbt.version"


@contextmanager
def dbt_hidden() -> Iterator[None]:
    """Let `dagster_dbt` be imported in this block as where there is no dbt-core, which it supports, unless dbt is imported already.

    It takes from dbt-core names of types and of statuses, which it has itself then, and what selects nodes: without a selection,
    it takes all nodes of the manifest. Dagster's list of a code location's libraries has `dbt-fusion` in place of `dbt-core`.
    """
    if _VERSION in sys.modules:
        yield
        return
    # Python's way to say that there is no such module.
    sys.modules[_VERSION] = None  # pyright: ignore[reportArgumentType]
    try:
        yield
    finally:
        del sys.modules[_VERSION]


def import_dbt() -> None:
    """Import dbt, and leave the root logger as it was: snowplow, which dbt imports, makes it print all warnings to stderr."""
    root = logging.getLogger()
    handlers = [*root.handlers]
    import dbt.cli.main  # noqa: F401

    root.handlers = handlers

"""Import dbt only where it is called: the import takes a quarter of the CPU seconds of a run without new data, which never calls dbt."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_VERSION = "dbt.version"


@contextmanager
def without_dbt() -> Iterator[None]:
    """Make `dagster_dbt` in this block behave as if dbt-core were not installed, which it supports, unless dbt is already imported.

    From dbt-core, `dagster_dbt` imports names of types and statuses, which it otherwise defines itself, and the selection of nodes.
    Without a selection, it takes all nodes of the manifest. Dagster's list of a code location's libraries then shows `dbt-fusion`
    instead of `dbt-core`.
    """
    if _VERSION in sys.modules:
        yield
        return
    # With None in `sys.modules`, Python treats the module as not installed.
    sys.modules[_VERSION] = None  # pyright: ignore[reportArgumentType]
    try:
        yield
    finally:
        del sys.modules[_VERSION]


def import_dbt() -> None:
    """Import dbt and restore the root logger's handlers: snowplow, which dbt imports, makes it print all warnings to stderr."""
    root = logging.getLogger()
    handlers = [*root.handlers]
    import dbt.cli.main  # noqa: F401

    root.handlers = handlers

"""What a command line starts: `python -m orchestration`, or `conversation-starts` where the package is installed."""

import gc
import sys

from orchestration.errors import ExitCode

# Imports make a million objects that stay: to look among them for garbage after every 700 new ones, which is Python's default, took 0.3 of
# the 5.7 CPU seconds of a run without news.
_NEW_OBJECTS_BETWEEN_COLLECTIONS = 300_000


def start() -> int:
    """Do what the command line says; return its exit code, also where Ctrl-C comes before it is read."""
    gc.set_threshold(_NEW_OBJECTS_BETWEEN_COLLECTIONS, *gc.get_threshold()[1:])
    try:
        # Imported late: it takes a second.
        from orchestration.cli.main import main

        return main()
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED


if __name__ == "__main__":
    sys.exit(start())

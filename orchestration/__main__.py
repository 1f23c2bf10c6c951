"""What a command line starts: `python -m orchestration`, or `conversation-starts` where the package is installed."""

import sys

from orchestration.errors import ExitCode


def start() -> int:
    """Do what the command line says; return its exit code, also where Ctrl-C comes before it is read."""
    try:
        # Imported late: it takes a second.
        from orchestration.cli.main import main

        return main()
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED


if __name__ == "__main__":
    sys.exit(start())

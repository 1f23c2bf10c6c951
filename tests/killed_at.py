"""Run a command and kill it before one of its file changes: `python -m tests.killed_at NUMBER FOLDER ARGUMENT …`.

The count includes renames and files opened for writing, inside the folder and before the job begins, as Python's audit events report them;
it excludes what DuckDB writes. With 0 the command is not killed, and the number of changes is printed.
"""

import os
import signal
import sys
from typing import Any
from unittest.mock import patch

from orchestration.cli import erase, maintain
from orchestration.cli.main import main
from orchestration.cli.run import run_command

_CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate", "os.chmod"}


class Changes:
    """Counts changes in a folder until the job begins, and kills the process before the change with a given number."""

    def __init__(self, fatal: int, folder: str) -> None:
        self.fatal, self.folder = fatal, folder
        self.count, self.is_over = 0, False

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        is_change = event in _CHANGES or (event == "open" and bool((arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)))
        if self.is_over or not is_change or not str(arguments[0]).startswith(self.folder):
            return
        self.count += 1
        if self.count == self.fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    def run_command(self, *arguments: Any) -> int:
        self.is_over = True
        return run_command(*arguments)


if __name__ == "__main__":
    changes = Changes(int(sys.argv[1]), sys.argv[2])
    sys.addaudithook(changes.audit)
    with patch.object(erase, "run_command", changes.run_command), patch.object(maintain, "run_command", changes.run_command):
        code = main(sys.argv[3:])
    print(f"{changes.count} changes")
    sys.exit(code)

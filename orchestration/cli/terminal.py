"""The output of a run in progress: one line per step, which a terminal updates while the step is active."""

import os
import shutil
import sys
import time
from threading import Event, Lock, Thread
from typing import TextIO

from orchestration.progress import Progress

_BOLD, _RED, _YELLOW, _NO_COLOUR = "\033[1m", "\033[31m", "\033[33m", "\033[0m"
_CLEAR_LINE = "\r\033[2K"
# Often enough to show that the run is active.
_SECONDS_BETWEEN_DRAWINGS = 0.2


class Terminal:
    """Show steps on stderr, so that stdout contains only results.

    On a terminal, the current step is a line that is redrawn repeatedly; elsewhere, each step is one line, printed when it ends.
    Colours are only for terminals, unless NO_COLOR is set. All methods may be called from any thread.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._out: TextIO = sys.stderr
        self._quiet = quiet
        self._is_live = not quiet and self._out.isatty() and os.environ.get("TERM") != "dumb"
        self._has_colours = self._is_live and not os.environ.get("NO_COLOR")
        self._lock = Lock()
        self._step: str | None = None
        self._progress: Progress | None = None
        self._started = 0.0
        self._is_closed = Event()
        if self._is_live:
            Thread(target=self._keep_drawing, daemon=True).start()

    def start(self, step: str) -> None:
        """Start a step, named by one or two words."""
        with self._lock:
            self._step, self._progress, self._started = step, None, time.monotonic()
            self._draw()

    def show(self, progress: Progress) -> None:
        """Set the progress of the step. The next drawing shows it: there may be thousands of updates a second."""
        with self._lock:
            self._progress = progress

    def finish(self, text: str = "", *, failed: bool = False) -> None:
        """End the step with a text about what it did, by default its progress."""
        with self._lock:
            if self._step is not None:
                seconds = time.monotonic() - self._started
                done = text or ("" if self._progress is None else str(self._progress))
                label = self._coloured(f"{self._step:<9}", _RED if failed else _BOLD)
                self._print(f"{label} {done}{' ' if done else ''}({seconds:.1f} s)")
            self._step = None

    def warn(self, text: str) -> None:
        """Print a warning above the current step."""
        with self._lock:
            self._print(f"{self._coloured('warning', _YELLOW)}   {text}")
            self._draw()

    def close(self) -> None:
        """Stop drawing and clear the unfinished line."""
        with self._lock:
            self._is_closed.set()
            self._step = None
            self._clear()

    def _keep_drawing(self) -> None:
        while not self._is_closed.wait(_SECONDS_BETWEEN_DRAWINGS):
            with self._lock:
                if not self._is_closed.is_set():
                    self._draw()

    def _draw(self) -> None:
        if not self._is_live or self._step is None:
            return
        words = [f"{self._step:<9}"]
        if self._progress is not None:
            words += [str(self._progress), self._progress.now]
        words.append(f"{time.monotonic() - self._started:.0f} s")
        # A line that wraps could not be overwritten.
        line = " ".join(filter(None, words))[: shutil.get_terminal_size().columns - 1]
        self._out.write(_CLEAR_LINE + line)
        self._out.flush()

    def _print(self, line: str) -> None:
        if not self._quiet:
            self._clear()
            self._out.write(line + "\n")
            self._out.flush()

    def _clear(self) -> None:
        if self._is_live:
            self._out.write(_CLEAR_LINE)
            self._out.flush()

    def _coloured(self, text: str, colour: str) -> str:
        return f"{colour}{text}{_NO_COLOUR}" if self._has_colours else text

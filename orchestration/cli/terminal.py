"""What a run shows while it works: a line for each step, which on a terminal changes while the step does."""

import os
import shutil
import sys
import time
from threading import Event, Lock, Thread
from typing import TextIO

from orchestration.progress import Progress

_BOLD, _RED, _YELLOW, _NO_COLOUR = "\033[1m", "\033[31m", "\033[33m", "\033[0m"
_CLEAR_LINE = "\r\033[2K"
# Often enough to see that it works.
_SECONDS_BETWEEN_DRAWINGS = 0.2


class Terminal:
    """Shows steps on stderr, so that stdout holds results alone.

    On a terminal, the step under way is a line that is drawn again and again; elsewhere each step is one line, when it is over.
    Colours are for terminals, and not where NO_COLOR is set. All methods may be called from any thread.
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
        """Begin a step; it is named by a word or two."""
        with self._lock:
            self._step, self._progress, self._started = step, None, time.monotonic()
            self._draw()

    def show(self, progress: Progress) -> None:
        """Say how far the step is. It is drawn with the next drawing: there may be thousands a second."""
        with self._lock:
            self._progress = progress

    def finish(self, text: str = "", *, failed: bool = False) -> None:
        """End the step with what it did; without a text, with how far it came."""
        with self._lock:
            if self._step is not None:
                seconds = time.monotonic() - self._started
                done = text or ("" if self._progress is None else str(self._progress))
                label = self._coloured(f"{self._step:<9}", _RED if failed else _BOLD)
                self._print(f"{label} {done}{' ' if done else ''}({seconds:.1f} s)")
            self._step = None

    def warn(self, text: str) -> None:
        """Print a warning above the step under way."""
        with self._lock:
            self._print(f"{self._coloured('warning', _YELLOW)}   {text}")
            self._draw()

    def close(self) -> None:
        """Leave the terminal as it was, without half a line."""
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
        # A line that wraps could not be drawn over.
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

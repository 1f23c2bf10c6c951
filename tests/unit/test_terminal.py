"""Tests of the progress display of a run: one line per step, the current one animated on a terminal."""

import os
import pty
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

import pytest

from orchestration.cli.terminal import Terminal
from orchestration.progress import progress_display, report_progress


def _work(terminal: Terminal) -> None:
    with progress_display(terminal.show):
        terminal.start("land")
        terminal.warn("sends: not read: a.log")
        terminal.finish("sends: no new files")
        terminal.start("build")
        report_progress(3, 1200, "models", "fct_session_starts")
        time.sleep(0.5)
        report_progress(1200, 1200, "models")
        terminal.finish()
        terminal.start("export")
        terminal.finish("failed", failed=True)
        terminal.close()


def _without_seconds(text: str) -> str:
    return re.sub(r"\(\d+\.\d s\)", "(… s)", text)


LINES = """\
warning   sends: not read: a.log
land      sends: no new files (… s)
build     1,200 of 1,200 models (… s)
export    failed (… s)
"""


@pytest.fixture
def on_a_terminal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., str]:
    """Return a function that runs work on a real terminal of the given width, and returns the output."""

    def work(columns: int = 80, **environment: str) -> str:
        for name, value in {"TERM": "xterm", "COLUMNS": str(columns), "NO_COLOR": "", **environment}.items():
            monkeypatch.setenv(name, value)
        with _terminal_as_stderr(monkeypatch) as read:
            _work(Terminal())
            return read()

    return work


@contextmanager
def _terminal_as_stderr(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], str]]:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w", encoding="utf-8") as stream, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", stream)

        def read() -> str:
            stream.flush()
            stream.write("\0")
            stream.flush()
            shown = b""
            while not shown.endswith(b"\0"):
                shown += os.read(ours, 65536)
            return shown[:-1].decode().replace("\r\n", "\n")

        yield read
    os.close(ours)


def test_each_step_is_a_line_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", StringIO())
    _work(Terminal())
    assert _without_seconds(sys.stderr.getvalue()) == LINES  # type: ignore[attr-defined]


def test_quiet_prints_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", StringIO())
    _work(Terminal(quiet=True))
    assert sys.stderr.getvalue() == ""  # type: ignore[attr-defined]


def test_current_step_is_redrawn_on_a_terminal(on_a_terminal: Callable[..., str]) -> None:
    shown = on_a_terminal()
    assert "\r\033[2Kbuild     3 of 1,200 models fct_session_starts 0 s" in shown
    # The same lines remain, in colour.
    left = re.sub(r"[^\n]*\r\033\[2K", "", shown)
    assert left.startswith("\033[33mwarning\033[0m   sends: not read: a.log\n\033[1mland     \033[0m sends: no new files (")
    assert "\033[31mexport   \033[0m failed (" in left
    assert _without_seconds(re.sub(r"\033\[\d*m", "", left)) == LINES


def test_no_color_disables_colours(on_a_terminal: Callable[..., str]) -> None:
    shown = on_a_terminal(NO_COLOR="1")
    assert "3 of 1,200 models" in shown
    assert re.findall(r"\033\[[^2]", shown) == []


def test_terminal_without_cursor_control_gets_plain_lines(on_a_terminal: Callable[..., str]) -> None:
    assert _without_seconds(on_a_terminal(TERM="dumb")) == LINES


def test_current_line_is_cut_to_the_width_of_the_terminal(on_a_terminal: Callable[..., str]) -> None:
    shown = on_a_terminal(columns=30)
    assert "\r\033[2Kbuild     3 of 1,200 models f\r" in shown


def test_progress_without_a_terminal_is_not_shown() -> None:
    report_progress(1, 2, "models")

"""The progress of a step, for the terminal that shows it. Without a terminal, as in runs from Dagster's UI, reporting does nothing."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """How many units of a step are done. `total` is None if it is not known; `now` names the item in progress."""

    done: int
    total: int | None
    unit: str
    now: str = ""

    def __str__(self) -> str:
        return f"{self.done:,} {self.unit}" if self.total is None else f"{self.done:,} of {self.total:,} {self.unit}"


_show: Callable[[Progress], None] | None = None


def report_progress(done: int, total: int | None, unit: str, now: str = "") -> None:
    """Report the progress of the step. Threads of a step may call it, so the function that shows it must be thread-safe."""
    if _show is not None:
        _show(Progress(done, total, unit, now))


@contextmanager
def progress_display(show: Callable[[Progress], None]) -> Iterator[None]:
    """Pass the progress that this process reports to `show` during a `with` block."""
    global _show
    before, _show = _show, show
    try:
        yield
    finally:
        _show = before

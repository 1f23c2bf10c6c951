"""How far a step of a run is, for the terminal that shows it. Where none does, as in runs of Dagster's UI, reporting does nothing."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """So many units of a step are done; `total` is None where it is not known. `now` names what is being worked on."""

    done: int
    total: int | None
    unit: str
    now: str = ""

    def __str__(self) -> str:
        return f"{self.done:,} {self.unit}" if self.total is None else f"{self.done:,} of {self.total:,} {self.unit}"


_show: Callable[[Progress], None] | None = None


def report_progress(done: int, total: int | None, unit: str, now: str = "") -> None:
    """Show how far the step is. Threads of a step may call it, so what shows it must be thread-safe."""
    if _show is not None:
        _show(Progress(done, total, unit, now))


@contextmanager
def shown_by(show: Callable[[Progress], None]) -> Iterator[None]:
    """Let `show` have what is reported in this process, for the time of a `with` block."""
    global _show
    before, _show = _show, show
    try:
        yield
    finally:
        _show = before

"""Freshness of the data, not of runs: find feeds and lines that have been silent for too long (contract, section 3)."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache

import duckdb

from orchestration.settings import DBT_PROJECT_DIR
from orchestration.yaml_files import read_yaml


@dataclass(frozen=True)
class Silence:
    """A feed, or one line of it, whose newest event is older than allowed. `newest_event_at` is naive UTC."""

    feed: str
    line: str | None
    newest_event_at: datetime
    max_hours: int

    def __str__(self) -> str:
        of_line = f", line {self.line}," if self.line else ""
        return f"{self.feed}{of_line} silent since {self.newest_event_at:%Y-%m-%d %H:%M} UTC (more than {self.max_hours} h)"


@cache
def max_silence_hours() -> dict[str, int]:
    """Return the dbt variable `max_silence_hours`: hours by feed."""
    return read_yaml(DBT_PROJECT_DIR / "dbt_project.yml")["vars"]["max_silence_hours"]


def silences(connection: duckdb.DuckDBPyConnection, now: datetime) -> list[Silence]:
    """Return the feeds that are silent at `now` (naive UTC), and the silent lines of the other feeds."""
    newest = connection.execute(
        """
        select feed, coalesce(line_number, channel_id) as line, newest_event_at
        from intermediate.int_newest_events
        order by feed, newest_event_at, line
        """
    ).fetchall()
    found = []
    for feed, hours in max_silence_hours().items():
        lines = [(line, at) for of_feed, line, at in newest if of_feed == feed]
        silent = [(line, at) for line, at in lines if now - at > timedelta(hours=hours)]
        if lines and len(silent) == len(lines):
            found.append(Silence(feed, None, max(at for _, at in lines), hours))
        else:
            found += [Silence(feed, line, at, hours) for line, at in silent]
    return found

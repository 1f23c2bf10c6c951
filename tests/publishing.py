"""A process that publishes and exports one state of a small report after another, until it is killed.

`python -m tests.publishing FOLDER`. State n is build n: it replaces some report days, and all their rows have the template `state-n`, so
that any day shows its state.
"""

import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

from orchestration.exports.daily import export_days
from orchestration.exports.manifest import recover_exports
from orchestration.publication.publish import publish
from orchestration.publication.versions import recover_publication
from orchestration.settings import Settings
from orchestration.transform.builds import last_finished_build
from orchestration.warehouse import open_warehouse, writer_lock
from tests.marts import Warehouse, settings_of, start

DAYS = (date(2026, 9, 30), date(2026, 10, 1), date(2026, 10, 2), date(2026, 11, 1))


def expected(state: int) -> dict[date, str]:
    """Return the template of each report day in a state."""
    return {day: f"state-{max(n for n in range(1, state + 1) if day in _days_of(n))}" for day in DAYS}


def rows_of(state: int) -> dict[date, list[dict[str, Any]]]:
    """Return the rows of the report days that a state replaces."""
    return {
        day: [start(state * 1000 + day.day * 10 + n, day, template_name=f"state-{state}") for n in range(2 + state % 3)]
        for day in _days_of(state)
    }


def run(settings: Settings) -> None:
    """Run the steps after the models, except those that were done before a kill."""
    with writer_lock(settings):
        recover_publication(settings)
        recover_exports(settings)
        with open_warehouse(settings) as connection:
            build = last_finished_build(connection)
            if build is not None:
                publish(connection, settings, build)
                export_days(connection, settings)


def states(warehouse: Warehouse) -> Iterator[int]:
    """Build one state after another, starting after the last one that was built."""
    with open_warehouse(warehouse.settings) as connection:
        build = last_finished_build(connection)
    state = build.build_id if build is not None else 0
    while True:
        state += 1
        warehouse.build(rows_of(state))
        yield state


def _days_of(state: int) -> list[date]:
    return list(DAYS) if state == 1 else [DAYS[state % len(DAYS)], DAYS[(state + 1) % len(DAYS)]]


def main() -> None:
    settings = settings_of(Path(sys.argv[1]))
    run(settings) if settings.warehouse_path.exists() else None
    for state in states(Warehouse(settings)):
        print(state, flush=True)
        run(settings)


if __name__ == "__main__":
    main()

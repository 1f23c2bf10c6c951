"""The comparison with a download as a command: `python -m orchestration compare FILE.tsv`.

Exit codes: 0 when all is equal, 1 when something differs, 2 when there is nothing to compare.
"""

import sys
from argparse import ArgumentTypeError, Namespace
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

from orchestration.errors import StartsError
from orchestration.reconciliation.compare import Cause, Comparison, compare_download
from orchestration.settings import Settings


def add_to(commands: Any) -> None:
    parser = commands.add_parser("compare", help="compare a TSV downloaded from Botmaker with the published report")
    parser.set_defaults(command=compare_command)
    parser.add_argument("file", type=Path, help="the TSV, as downloaded")
    parser.add_argument("--period-from", type=_day, help="first report day, such as 2026-10-01; else that of the file's rows")
    parser.add_argument("--period-to", type=_day, help="last report day, included")


def compare_command(chosen: Namespace) -> int:
    """Compare the file that was chosen with what is published, and say how they differ."""
    try:
        comparison = compare_download(Settings.from_environment(), chosen.file, chosen.period_from, chosen.period_to)
    except StartsError as error:
        print(f"compare could not start: {error}", file=sys.stderr)
        return 2
    for line in _told(comparison):
        print(line)
    return 0 if comparison.is_equal else 1


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no day: write it like 2026-10-01") from None


def _told(comparison: Comparison) -> Iterator[str]:
    first, last = comparison.period
    yield f"compared {first} to {last}, days in {comparison.time_zone}"
    outside = f"; {comparison.rows_outside:,} more outside the period" if comparison.rows_outside else ""
    yield f"  there          {comparison.rows_there:,} rows in the file ({comparison.encoding}{outside})"
    yield f"  here           {comparison.rows_here:,} rows published"
    yield f"  equal          {comparison.rows_equal:,} rows"
    if comparison.columns_absent:
        yield f"  not in the file, so not compared: {', '.join(comparison.columns_absent)}"
    if comparison.columns_extra:
        yield f"  only in the file: {', '.join(comparison.columns_extra)}"
    for difference in comparison.differences:
        what = f"{difference.cause} in {difference.column}" if difference.cause is Cause.DIFFERS else str(difference.cause)
        yield f"  {what}: {difference.rows:,} row{'' if difference.rows == 1 else 's'}"
        for example in difference.examples:
            yield f"    {example}"
        if difference.rows > len(difference.examples):
            yield f"    … and {difference.rows - len(difference.examples):,} more"

"""`python -m orchestration compare FILE`: compare a download with the published report.

The command fails if something differs.
"""

from argparse import Namespace
from collections.abc import Iterator
from typing import Any

from orchestration.cli.filters import FILTERS, add_options, chosen_options, file_path
from orchestration.errors import ExitCode
from orchestration.exports.filters import ReportFilters
from orchestration.reconciliation.compare import Cause, Comparison, compare_download
from orchestration.settings import Settings


def add_to(commands: Any) -> None:
    parser = commands.add_parser("compare", help="compare a download from Botmaker with the published report")
    parser.set_defaults(command=compare_command, runs_job=False)
    parser.add_argument("file", type=file_path, help="the download: TSV, CSV or XLSX")
    add_options(parser, FILTERS)
    parser.add_argument("--all", type=file_path, dest="all_differences", metavar="FILE", help="write every difference to a TSV")


def compare_command(chosen: Namespace) -> int:
    """Compare the chosen file with the published report, and print the differences."""
    filters = chosen_options(ReportFilters, FILTERS, chosen)
    comparison = compare_download(Settings.from_environment(), chosen.file, filters, chosen.all_differences)
    for line in _format_comparison(comparison):
        print(line)
    if chosen.all_differences is not None:
        print(f"every difference is in {chosen.all_differences}")
    return ExitCode.SUCCESS if comparison.is_equal else ExitCode.FAILED


def _format_comparison(comparison: Comparison) -> Iterator[str]:
    first, last = comparison.period
    yield f"compared {first} to {last}, days in {comparison.time_zone}"
    outside = f"; {comparison.rows_outside:,} more outside the period" if comparison.rows_outside else ""
    filtered = f"; {comparison.rows_filtered:,} more outside the filters" if comparison.rows_filtered else ""
    yield f"  there          {comparison.rows_there:,} rows in the file ({comparison.encoding}{outside}{filtered})"
    yield f"  here           {comparison.rows_here:,} rows published"
    yield f"  equal          {comparison.rows_equal:,} rows"
    for damage in comparison.damage:
        yield f"  damaged: {damage}"
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

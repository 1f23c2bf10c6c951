"""`python -m orchestration rejected`: list the records that could not be read."""

from argparse import ArgumentTypeError, Namespace
from collections.abc import Iterator
from typing import Any

from orchestration.cli.filters import file_path
from orchestration.engines.engine import engine_of
from orchestration.files import check_output_path
from orchestration.landing.feeds import FEED_NAMES
from orchestration.landing.rejections import RejectedRecord, count_rejected, list_rejected, write_rejected
from orchestration.run_report import counted
from orchestration.settings import Settings
from orchestration.texts import printable

_SHOWN_RECORDS, _SHOWN_CHARACTERS = 50, 200


def add_to(commands: Any) -> None:
    parser = commands.add_parser("rejected", help="list the records that could not be read")
    parser.set_defaults(command=rejected_command, runs_job=False)
    parser.add_argument("--feed", choices=FEED_NAMES, metavar="FEED", help=f"only records of this feed: {', '.join(FEED_NAMES)}")
    parser.add_argument(
        "--limit", type=_count, metavar="N", help=f"at most N records, the latest first (default: {_SHOWN_RECORDS}, or all with --csv)"
    )
    parser.add_argument("--records", action="store_true", help="include the text of the records, which contains personal data")
    parser.add_argument("--csv", type=file_path, metavar="FILE", help="write the records to a CSV file")


def rejected_command(chosen: Namespace) -> int:
    """Print rejected records, or write them to a file."""
    if chosen.csv is not None:
        check_output_path(chosen.csv)
    with engine_of(Settings.from_environment()).open_to_read() as warehouse:
        if chosen.csv is not None:
            rows = write_rejected(warehouse, chosen.csv, chosen.feed, chosen.limit, with_payload=chosen.records)
            print(f"{counted(rows, 'rejected record')} in {chosen.csv}")
            return 0
        records, files = count_rejected(warehouse, chosen.feed)
        limit = _SHOWN_RECORDS if chosen.limit is None else chosen.limit
        shown = list_rejected(warehouse, chosen.feed, limit, with_payload=chosen.records)
    print(f"{counted(records, 'rejected record')} in {counted(files, 'file')}" + (f" of {chosen.feed}" if chosen.feed else ""))
    for line in _format_records(shown):
        print(line)
    if len(shown) < records:
        print(f"  … and {records - len(shown):,} more: --limit, --csv")
    return 0


def _format_records(shown: list[RejectedRecord]) -> Iterator[str]:
    for one in shown:
        since = "" if one.is_in_zone else " (the file has since been changed or removed)"
        yield printable(f"  {one.file_name}, line {one.line_number}: {one.reason}{since}")
        if one.record is not None:
            rest = "…" if len(one.record) > _SHOWN_CHARACTERS else ""
            yield f"    {printable(one.record[:_SHOWN_CHARACTERS])}{rest}"


def _count(text: str) -> int:
    if not text.isdigit() or int(text) == 0:
        raise ArgumentTypeError(f"{text!r} is not a number of records: write a whole number above 0")
    return int(text)

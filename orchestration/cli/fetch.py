"""`python -m orchestration botmaker …`: fetch without Dagster, with one output line per window."""

import sys
import time
from argparse import Namespace
from typing import Any

from orchestration.botmaker.fetch import FETCHES, fetch, open_source, parse_request
from orchestration.botmaker.settings import BotmakerSettings
from orchestration.cli.run import alert, run_command
from orchestration.errors import ExitCode, StartsError, exit_code_at_start
from orchestration.settings import Settings


def add_to(commands: Any) -> None:
    botmaker = commands.add_parser("botmaker", help="fetch from Botmaker").add_subparsers(
        title="commands", metavar="COMMAND", required=True
    )
    fetch_only = botmaker.add_parser("fetch", help="only fetch into the landing zone")
    fetch_only.set_defaults(command=fetch_command, runs_job=False)
    fetch_and_run = botmaker.add_parser("run", help="fetch, then run the job")
    fetch_and_run.set_defaults(command=lambda chosen: fetch_command(chosen) or run_command(chosen))
    for parser in (fetch_only, fetch_and_run):
        parser.add_argument("--from", dest="period_from", metavar="DAY", help="the period's first day (or its start as UTC time)")
        parser.add_argument("--to", dest="period_to", metavar="DAY", help="the period's last day (or its end as UTC time); default: now")
        parser.add_argument("--sweep", action="store_true", help="fetch the last BOTMAKER_SWEEP_DAYS days again")


def fetch_command(arguments: Namespace) -> int:
    """Fetch all feeds, print what was fetched, and return the exit code."""
    started = time.monotonic()
    has_started = False
    try:
        settings = Settings.from_environment()
        request = parse_request(settings, arguments.period_from, arguments.period_to, sweep=arguments.sweep)
        with open_source(settings, BotmakerSettings.from_environment(), log=_print_line, warn=_warn) as source:
            has_started = True
            reports = [fetch(source, feed, request) for feed in FETCHES]
    except StartsError as error:
        what = f"botmaker fetch {'failed' if has_started else 'could not start'}"
        print(f"{what}: {error}", file=sys.stderr)
        alert(what, [str(error)])
        return ExitCode.LANDING_FAILED if has_started else exit_code_at_start(error)
    print(f"\nbotmaker fetch finished in {time.monotonic() - started:.0f} s")
    for report in reports:
        print(
            f"  fetched    {report.feed}: {report.items:,} items in {report.pages:,} pages, {report.bytes:,} bytes; "
            f"{report.requests:,} requests, {report.retries:,} retries"
        )
    return 0


def _print_line(line: str) -> None:
    print(line, flush=True)


def _warn(line: str) -> None:
    print(line, file=sys.stderr, flush=True)

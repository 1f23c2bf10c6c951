"""`python -m orchestration rebuild | replay`: manual operations on a warehouse.

Each command prepares the warehouse, runs the job and returns its exit code.
"""

from argparse import Namespace
from typing import Any

from orchestration.cli.run import run_command
from orchestration.engines.engine import engine_of
from orchestration.landing.feeds import FEED_NAMES
from orchestration.landing.listing import printable_name
from orchestration.landing.zone import LandingZone
from orchestration.maintenance.replay import mark_files_with_rejections_to_reread
from orchestration.settings import Settings
from orchestration.transform.builds import invalidate_builds


def add_to(commands: Any) -> None:
    rebuild = commands.add_parser("rebuild", help="rebuild the marts from the raw tables")
    rebuild.set_defaults(command=rebuild_command)
    rebuild.add_argument(
        "--from-landing", action="store_true", help="also read the whole landing zone again, into a new warehouse: for a damaged one"
    )
    replay = commands.add_parser("replay", help="read the files with rejected records again")
    replay.set_defaults(command=replay_command)


def rebuild_command(chosen: Namespace) -> int:
    settings = Settings.from_environment()
    if chosen.from_landing:
        engine_of(settings).remove_for_landing()
    else:
        with engine_of(settings).open_to_maintain() as warehouse:
            invalidate_builds(warehouse)
    return run_command(chosen)


def replay_command(chosen: Namespace) -> int:
    settings = Settings.from_environment()
    with engine_of(settings).open_to_maintain() as warehouse:
        files = mark_files_with_rejections_to_reread(warehouse, LandingZone(settings.landing, FEED_NAMES))
    if not files:
        print("No file in the landing zone has rejected records.")
        return 0
    print(f"To be read again: {', '.join(map(printable_name, files))}")
    return run_command(chosen)

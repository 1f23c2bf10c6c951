"""`erase PERSON`: erase a person from everything below the data folder, print what would be erased, or revoke an erasure."""

import sys
from argparse import Namespace
from typing import Any

from orchestration.cli.run import run_command
from orchestration.engines.engine import Engine, engine_of
from orchestration.errors import StartsError
from orchestration.landing.listing import printable_name
from orchestration.landing.migrations import prepare_raw_schema
from orchestration.maintenance.erasure import Erasure, check_identifier, files_containing, revoke_erasure
from orchestration.maintenance.replay import mark_files_with_erasures_to_reread
from orchestration.run_report import counted
from orchestration.settings import Settings
from orchestration.transform.builds import next_is_increment, start_build


def add_to(commands: Any) -> None:
    erase = commands.add_parser("erase", help="erase a person from everything below the data folder")
    erase.set_defaults(command=erase_command)
    erase.add_argument("person", help="any of the person's numbers or user ids, in any spelling")
    what = erase.add_mutually_exclusive_group()
    what.add_argument("--dry-run", action="store_true", help="print what would be erased; only the table of people is updated")
    what.add_argument("--revoke", action="store_true", help="revoke an erasure: records of the person land and count again")


def erase_command(chosen: Namespace) -> int:
    check_identifier(chosen.person)
    settings = Settings.from_environment()
    engine = engine_of(settings)
    with engine.lock_to_maintain():
        if chosen.revoke:
            return _revoke(settings, engine, chosen)
        _update_people(settings, engine)
        if chosen.dry_run:
            _print_plan(engine.plan_erasure(chosen.person))
            return 0
        erasure = engine.erase_person(chosen.person)
    exit_code = run_command(chosen)
    if exit_code:
        print(
            "The person is erased from the raw tables, but not yet from the marts and files: fix what failed and run again.",
            file=sys.stderr,
        )
        return exit_code
    _print_plan(erasure, "erased")
    folders = [settings.data, *([settings.spark.lake] if settings.spark is not None else [])]
    left = [path for folder in folders for path in files_containing(folder, erasure.identifiers)]
    if left:
        print(f"  LEFT       these files still contain the person: {', '.join(map(str, left))}", file=sys.stderr)
        return 1
    return 0


def _update_people(settings: Settings, engine: Engine) -> None:
    """Build the table of people, which connects the identifiers of each person, from everything that has landed."""
    # Imported late: dbt takes seconds to load.
    from orchestration.transform.invocation import DbtError
    from orchestration.transform.runner import build_people

    with engine.open() as warehouse:
        prepare_raw_schema(warehouse)
        is_increment = next_is_increment(warehouse, settings)
        if not is_increment:
            # This build never finishes: some tables are built from the raw tables here, and the others no longer match them.
            start_build(warehouse, settings)
    try:
        build_people(settings, full_refresh=not is_increment)
    except DbtError as error:
        raise StartsError(f"the identifiers of the person could not be determined: {error}") from error


def _print_plan(erasure: Erasure, verb: str = "to erase") -> None:
    rows = ", ".join(f"{rows:,} of {table}" for table, rows in erasure.rows.items() if rows)
    print(
        f"  {verb:<10} {counted(len(erasure.identifiers), 'identifier')} of one person: "
        + (
            rows
            or "no rows: the person was erased before, or no record of the person has landed. "
            "Is it the whole number with its country code, such as 5511987654321?"
        )
    )
    if erasure.landing_files:
        print(f"  not ours   the landing zone also contains the person, in: {', '.join(map(printable_name, erasure.landing_files))}")


def _revoke(settings: Settings, engine: Engine, chosen: Namespace) -> int:
    def mark_files_to_reread() -> list[str]:
        # Closed before the hashes are deleted: Spark saves the change only then.
        with engine.open() as warehouse:
            return mark_files_with_erasures_to_reread(warehouse, engine.files_with_erased_texts(warehouse))

    files = revoke_erasure(settings, chosen.person, mark_files_to_reread)
    if files is None:
        print("This person was not erased here.")
        return 0
    print(f"Erasure revoked. The next run reads {len(files)} files with erased records again, if they are in the landing zone.")
    return 0

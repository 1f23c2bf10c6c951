"""The command line: `python -m orchestration [command]`, or `conversation-starts [command]` if the package is installed."""

import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from contextlib import suppress

from orchestration.cli import compare, compare_templates, dg, docs, erase, export, fetch, maintain, metrics, rejected
from orchestration.cli.run import JOB, add_options, given_options, run_command
from orchestration.errors import ExitCode, StartsError, exit_code_at_start, operator_errors
from orchestration.file_rights import restrict_new_files
from orchestration.installation import COMMAND, command, version
from orchestration.settings import SettingsError, warnings_of_variables


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; without one, run the job. Returns an `ExitCode`, or the exit code of Dagster's or MetricFlow's command.

    For an invalid command line, argparse exits with the code of `COULD_NOT_START`.
    """
    parser = _parser()
    chosen = parser.parse_args(arguments)
    if not chosen.runs_job and (given := given_options(chosen)):
        parser.error(f"{', '.join(given)}: only for a command that runs the job")
    restrict_new_files()
    # The command reports an unreadable `.env`, like any other wrong setting.
    with suppress(SettingsError):
        for warning in () if chosen.quiet else warnings_of_variables():
            print(f"warning: {warning}", file=sys.stderr)
    try:
        with operator_errors():
            return chosen.command(chosen)
    except StartsError as error:
        print(f"{chosen.name} could not start: {error}", file=sys.stderr)
        return exit_code_at_start(error)
    except KeyboardInterrupt:
        print(f"\n{chosen.name} was interrupted. Run it again: it continues from what was committed.", file=sys.stderr)
        return ExitCode.INTERRUPTED


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog=command(), description="Land, build, check, publish, export.")
    parser.add_argument("--version", action="version", version=f"{COMMAND} {version()}")
    add_options(parser, default=False)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="name")
    # After the subparsers, which would reset the name.
    parser.set_defaults(command=run_command, name=JOB, runs_job=True)
    run = commands.add_parser("run", help="run the job conversation_starts once (the default)")
    add_options(run)
    fetch.add_to(commands)
    export.add_to(commands)
    compare.add_to(commands)
    compare_templates.add_to(commands)
    metrics.add_to(commands)
    rejected.add_to(commands)
    maintain.add_to(commands)
    erase.add_to(commands)
    docs.add_to(commands)
    dg.add_to(commands)
    return parser

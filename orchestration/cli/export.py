"""`python -m orchestration export --from 2026-10-05 --origins whatsapp_template`: the export on demand."""

from argparse import Namespace
from typing import Any

from orchestration.cli.filters import FILTERS, Options, add_options, chosen_options
from orchestration.settings import Settings

_OPTIONS: Options = {
    **FILTERS,
    "language": ("--language", {"help": "headers and failure reasons in en, pt or es (default: as in the daily files)"}),
    "layout": ("--layout", {"help": "standard, or botmaker for the original download's columns and headers"}),
    "format": ("--format", {"help": "tsv, or xlsx for spreadsheets: ids as text, times as dates"}),
    "bom": ("--bom", {"action": "store_true", "help": "begin a TSV with a byte order mark, so that Excel recognises UTF-8"}),
    "file_name": ("--file-name", {"help": "name of the file below exports/on_demand (default: from the period and the time)"}),
}


def add_to(commands: Any) -> None:
    parser = commands.add_parser("export", help="write a TSV or XLSX file of the published report, with its filters")
    parser.set_defaults(command=export_command, runs_job=False)
    add_options(parser, _OPTIONS)


def export_command(chosen: Namespace) -> int:
    """Write the file, and print its path and number of rows."""
    settings = Settings.from_environment()
    # Imported late: these take a second to load, and a wrong setting should be reported at once.
    from orchestration.exports.filters import ExportSelection
    from orchestration.exports.on_demand import export_selection

    path, rows = export_selection(settings, chosen_options(ExportSelection, _OPTIONS, chosen))
    print(f"{rows:,} rows in {path}")
    return 0

"""The export on demand as a command: `python -m orchestration export --from 2026-10-05 --origins whatsapp_template`.

Exit codes: 0 when the file is written, 2 when a filter is wrong or nothing is published.
"""

import sys
from argparse import Namespace
from typing import TYPE_CHECKING, Any

from orchestration.errors import StartsError
from orchestration.settings import Settings

if TYPE_CHECKING:
    from orchestration.exports.filters import ExportSelection

# By the field of `ExportSelection` that they fill.
_OPTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "period_from": ("--from", {"metavar": "DAY", "help": "first report day, such as 2026-10-01"}),
    "period_to": ("--to", {"metavar": "DAY", "help": "last report day, included"}),
    "origins": ("--origins", {"metavar": "ORIGIN", "nargs": "+", "help": "what started the session, such as whatsapp_template"}),
    "user_types": ("--user-types", {"metavar": "TYPE", "nargs": "+", "help": "new or returning"}),
    "lines": ("--lines", {"metavar": "LINE", "nargs": "+", "help": "WhatsApp lines, each by its channel id or its number"}),
    "templates": ("--templates", {"metavar": "NAME", "nargs": "+", "help": "names of WhatsApp templates or bulk notifications"}),
    "language": ("--language", {"help": "headers and failure reasons in en, pt or es; else as in the daily files"}),
    "layout": ("--layout", {"help": "standard, or botmaker for the original download's columns and headers"}),
    "file_name": ("--file-name", {"help": "name of the file below exports/on_demand; else made from the period and the time"}),
}


def add_to(commands: Any) -> None:
    parser = commands.add_parser("export", help="write a TSV of what is published, by the report's filters")
    parser.set_defaults(command=export_command)
    for field, (option, details) in _OPTIONS.items():
        parser.add_argument(option, dest=field, **details)


def export_command(chosen: Namespace) -> int:
    """Write the TSV that was asked for, and say where it is and how many rows it has."""
    try:
        settings = Settings.from_environment()
        # Imported late: Dagster, which also takes these filters, loads for seconds, and a wrong setting should be told at once.
        from orchestration.exports.on_demand import export_selection

        path, rows = export_selection(settings, _selection(chosen))
    except StartsError as error:
        print(f"export could not start: {error}", file=sys.stderr)
        return 2
    print(f"{rows:,} rows in {path}")
    return 0


def _selection(chosen: Namespace) -> "ExportSelection":
    from pydantic import ValidationError

    from orchestration.exports.filters import ExportSelection

    try:
        return ExportSelection(**{field: getattr(chosen, field) for field in _OPTIONS if getattr(chosen, field) is not None})
    except ValidationError as error:
        # Pydantic's own text goes on about types and addresses.
        raise StartsError("; ".join(_sentence(found) for found in error.errors()) + ".") from None


def _sentence(found: Any) -> str:
    field = found["loc"][0] if found["loc"] else None
    told = str(found["ctx"]["error"])
    return f"{_OPTIONS[field][0]}: {told}" if field else told

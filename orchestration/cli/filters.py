"""The options for the report's filters, shared by all commands that have them."""

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from orchestration.errors import StartsError

if TYPE_CHECKING:
    from orchestration.exports.filters import ReportFilters

Chosen = TypeVar("Chosen", bound="ReportFilters")

# By model field: the flag and its arguments for argparse.
Options = Mapping[str, tuple[str, dict[str, Any]]]

# A repeated option extends the list.
_LIST = {"nargs": "+", "action": "extend"}

FILTERS: Options = {
    "period_from": ("--from", {"metavar": "DAY", "help": "first report day, such as 2026-10-01"}),
    "period_to": ("--to", {"metavar": "DAY", "help": "last report day, included"}),
    "origins": ("--origins", {"metavar": "ORIGIN", "help": "what started the session, such as whatsapp_template", **_LIST}),
    "user_types": ("--user-types", {"metavar": "TYPE", "help": "new or returning", **_LIST}),
    "lines": ("--lines", {"metavar": "LINE", "help": "WhatsApp lines, each by its channel id or its number", **_LIST}),
    "templates": ("--templates", {"metavar": "NAME", "help": "names of WhatsApp templates or bulk notifications", **_LIST}),
}


def add_options(parser: ArgumentParser, options: Options) -> None:
    for field, (flag, details) in options.items():
        # An empty value comes from an unset shell variable: without its filter, the file would contain more than was asked for.
        kind = {} if details.get("action") == "store_true" else {"type": not_empty}
        parser.add_argument(flag, dest=field, **kind, **details)


def not_empty(value: str) -> str:
    """Return the value of an option. Raises `ArgumentTypeError`, which argparse reports, if it is empty."""
    if not value.strip():
        raise ArgumentTypeError("is empty: give it a value, or leave it out")
    return value


def file_path(value: str) -> Path:
    """Return the path of a file that a user named. Raises `ArgumentTypeError` if it is empty."""
    return Path(not_empty(value))


def chosen_options(kind: type[Chosen], options: Options, chosen: Namespace) -> Chosen:
    """Return the options of a command line as a model. Raises `StartsError` for a value that the model rejects."""
    from pydantic import ValidationError

    values = {field: getattr(chosen, field) for field in options}
    try:
        return kind(**{field: value for field, value in values.items() if value is not None})
    except ValidationError as error:
        # Pydantic's own text adds types and URLs.
        raise StartsError("; ".join(_sentence(found, options) for found in error.errors()) + ".") from None


def _sentence(found: Any, options: Options) -> str:
    field = found["loc"][0] if found["loc"] else None
    text = str(found["ctx"]["error"]) if "error" in found.get("ctx", {}) else found["msg"]
    return f"{options[field][0]}: {text}" if field else text

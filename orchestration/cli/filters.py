"""The options of the report's filters, the same for every command that takes them."""

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from orchestration.errors import StartsError

if TYPE_CHECKING:
    from orchestration.exports.filters import ReportFilters

Chosen = TypeVar("Chosen", bound="ReportFilters")

# By the field that they fill: the flag, and what argparse is given for it.
Options = Mapping[str, tuple[str, dict[str, Any]]]

# Twice the same option is one longer list.
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
        # An empty one is a shell variable that is not set: without its filter, more would be written than was asked for.
        kind = {} if details.get("action") == "store_true" else {"type": not_empty}
        parser.add_argument(flag, dest=field, **kind, **details)


def not_empty(value: str) -> str:
    """Return the value of an option, which argparse refuses where it is empty."""
    if not value.strip():
        raise ArgumentTypeError("is empty: leave the option out, or give it a value")
    return value


def file_named(value: str) -> Path:
    """Return the path of a file that a user names."""
    return Path(not_empty(value))


def chosen_options(kind: type[Chosen], options: Options, chosen: Namespace) -> Chosen:
    """Return the options of a command line as a model. Raises `StartsError` for a value that it does not take."""
    from pydantic import ValidationError

    given = {field: getattr(chosen, field) for field in options}
    try:
        return kind(**{field: value for field, value in given.items() if value is not None})
    except ValidationError as error:
        # Pydantic's own text goes on about types and addresses.
        raise StartsError("; ".join(_sentence(found, options) for found in error.errors()) + ".") from None


def _sentence(found: Any, options: Options) -> str:
    field = found["loc"][0] if found["loc"] else None
    text = str(found["ctx"]["error"]) if "error" in found.get("ctx", {}) else found["msg"]
    return f"{options[field][0]}: {text}" if field else text

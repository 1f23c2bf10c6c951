"""The options of the report's filters, the same for every command that takes them."""

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from orchestration.errors import StartsError

if TYPE_CHECKING:
    from orchestration.exports.filters import ReportFilters

Chosen = TypeVar("Chosen", bound="ReportFilters")

# By the field that they fill: the flag, and what argparse is given for it.
Options = Mapping[str, tuple[str, dict[str, Any]]]

FILTERS: Options = {
    "period_from": ("--from", {"metavar": "DAY", "help": "first report day, such as 2026-10-01"}),
    "period_to": ("--to", {"metavar": "DAY", "help": "last report day, included"}),
    "origins": ("--origins", {"metavar": "ORIGIN", "nargs": "+", "help": "what started the session, such as whatsapp_template"}),
    "user_types": ("--user-types", {"metavar": "TYPE", "nargs": "+", "help": "new or returning"}),
    "lines": ("--lines", {"metavar": "LINE", "nargs": "+", "help": "WhatsApp lines, each by its channel id or its number"}),
    "templates": ("--templates", {"metavar": "NAME", "nargs": "+", "help": "names of WhatsApp templates or bulk notifications"}),
}


def add_options(parser: ArgumentParser, options: Options) -> None:
    for field, (flag, details) in options.items():
        parser.add_argument(flag, dest=field, **details)


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

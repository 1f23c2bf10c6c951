"""The columns of the marts that identify a person, and how each is masked (contract, section 6).

The only source is the meta `person` of a column in the YAML of its mart. This module reads it for masking and for the previews in the
Dagster UI.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from orchestration.errors import StartsError
from orchestration.settings import Contacts, Settings
from orchestration.transform.parsed import parsed_project


class Mask(StrEnum):
    """How a column is masked.

    `identifier`: always. `id`: if its text, or its content decoded from base64, contains a number. `link`: always, except for the
    server's name. `text`: only the numbers in it. `none`: never, because it concerns the business's own lines and templates, or times,
    states and counts. A line's number does not belong to a person. Names of templates and notifications are filters of the report and
    keys of its daily marts.
    """

    IDENTIFIER = "identifier"
    ID = "id"
    LINK = "link"
    TEXT = "text"
    NONE = "none"


# By mart and column. A column that is missing has no rule.
Masks = Mapping[str, Mapping[str, Mask]]

# Columns of other types need an explicit rule. Identifiers are texts, so no number or time is an identifier.
_NEVER_PERSONAL_TYPES = frozenset({"boolean", "integer", "bigint", "decimal", "date", "timestamp"})


def type_is_never_personal(data_type: str) -> bool:
    """Return whether no value of a SQL type, such as `decimal(18, 8)`, can identify a person."""
    return data_type.partition("(")[0].lower() in _NEVER_PERSONAL_TYPES


def masks_of_marts(manifest: Mapping[str, Any]) -> Masks:
    """Return the masks of all marts from dbt's manifest. Raises `StartsError` if a `person` is not a mask."""
    marts = [node for node in manifest["nodes"].values() if node["resource_type"] == "model" and node["schema"] == "marts"]
    return {
        mart["name"]: {
            name: mask for name, column in mart["columns"].items() if (mask := _mask_of(f"{mart['name']}.{name}", column)) is not None
        }
        for mart in marts
    }


def masks_in_force(settings: Settings) -> Masks:
    """Return the masks of all marts, or none if contacts are plain, because reading the manifest takes 40 ms."""
    return {} if settings.contacts is Contacts.PLAIN else masks_of_marts(parsed_project(settings).json)


def _mask_of(place: str, column: Mapping[str, Any]) -> Mask | None:
    person = column["config"]["meta"].get("person")
    if person is None:
        return Mask.NONE if type_is_never_personal(column["data_type"] or "") else None
    try:
        return Mask(person)
    except ValueError:
        raise StartsError(f"The meta `person` of {place} is {person!r}: write one of {', '.join(Mask)}.") from None

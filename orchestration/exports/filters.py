"""The report's five filters (period, origin, line, template, user type), and the other options of an export on demand."""

import re
from datetime import date
from enum import StrEnum
from functools import partial
from typing import Annotated, Any, Self

import duckdb
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from orchestration.errors import StartsError
from orchestration.exports.tsv import Layout
from orchestration.identifiers import comparable_identifiers
from orchestration.publication.masking import may_hold_number
from orchestration.settings import Language


class Origin(StrEnum):
    MASS_NOTIFICATION = "mass_notification"
    WHATSAPP_TEMPLATE = "whatsapp_template"
    REFERRED_CAMPAIGN = "referred_campaign"
    REFERRED_WEBCHAT = "referred_webchat"


class UserType(StrEnum):
    NEW = "new"
    RETURNING = "returning"


class FileFormat(StrEnum):
    """The file format of an export on demand: `tsv` (contract, section 6), or `xlsx` for spreadsheets."""

    TSV = "tsv"
    XLSX = "xlsx"


def _one_of(kind: type[StrEnum], value: str) -> str:
    if value not in list(kind):
        raise ValueError(f"{value!r} is not one of {', '.join(kind)}")
    return value


def enum_value(kind: type[StrEnum]) -> AfterValidator:
    """Return a validator that accepts only the values of an enumeration."""
    return AfterValidator(partial(_one_of, kind))


_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,100}")


class ReportFilters(BaseModel):
    """The filters of the report (contract, section 1). An empty filter selects everything."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    period_from: str = Field(default="", description="First report day, such as 2026-10-01.")
    period_to: str = Field(default="", description="Last report day, included.")
    origins: list[str] = Field(default=[], description=f"What started the session: {', '.join(Origin)}.")
    lines: list[str] = Field(default=[], description="WhatsApp lines, each by its channel id or its number.")
    templates: list[str] = Field(default=[], description="Names of WhatsApp templates or bulk notifications.")
    user_types: list[str] = Field(default=[], description=f"{' or '.join(UserType)}.")

    @field_validator("period_from", "period_to")
    @classmethod
    def _are_days(cls, value: str) -> str:
        if value and not _is_day(value):
            raise ValueError(f"{value!r} is not a day: write it like 2026-10-01")
        return value

    @field_validator("origins")
    @classmethod
    def _are_origins(cls, values: list[str]) -> list[str]:
        return [_one_of(Origin, value) for value in values]

    @field_validator("user_types")
    @classmethod
    def _are_user_types(cls, values: list[str]) -> list[str]:
        return [_one_of(UserType, value) for value in values]

    @model_validator(mode="after")
    def _is_period(self) -> Self:
        if self.period_from and self.period_to and self.period_from > self.period_to:
            raise ValueError(f"the period ends ({self.period_to}) before it starts ({self.period_from})")
        return self

    def condition(self) -> tuple[str, dict[str, Any]]:
        """Return the SQL condition on session starts `s`, and the values to bind. Call it on the filters of `with_channel_ids`."""
        conditions, values = ["true"], {}
        if self.period_from:
            conditions.append("s.session_start_date >= $period_from::date")
            values["period_from"] = self.period_from
        if self.period_to:
            conditions.append("s.session_start_date <= $period_to::date")
            values["period_to"] = self.period_to
        if self.origins:
            conditions.append("s.origin in (select unnest($origins))")
            values["origins"] = self.origins
        if self.lines:
            conditions.append("s.channel_id in (select unnest($lines))")
            values["lines"] = self.lines
        if self.templates:
            conditions.append("(s.template_name in (select unnest($templates)) or s.notification_name in (select unnest($templates)))")
            values["templates"] = self.templates
        if self.user_types:
            conditions.append("s.user_type in (select unnest($user_types))")
            values["user_types"] = self.user_types
        return " and ".join(conditions), values

    def with_channel_ids(self, published: duckdb.DuckDBPyConnection) -> Self:
        """Return the filters with each line as its channel id.

        Raises `StartsError` for a line or template that does not occur in the published marts.
        """
        templates = _values(
            published, "select template_name from fct_session_starts union select notification_name from fct_session_starts"
        )
        for template in self.templates:
            if template not in templates:
                # Dagster stores this message, and an erasure cannot remove it from there.
                known = sorted(name for name in templates if not may_hold_number(name))
                raise StartsError(f"There is no template or notification {template!r} in the report. Known: {', '.join(known)}.")
        return self.model_copy(update={"lines": self._channels(published)})

    def _channels(self, published: duckdb.DuckDBPyConnection) -> list[str]:
        """Return the channel ids of the lines. A line is passed as its channel id or number, in any spelling (contract, section 2.2)."""
        if not self.lines:
            return []
        lines = published.execute("select distinct channel_id, line_number from fct_session_starts").fetchall()
        names = {name for line in lines for name in line if name is not None}
        spelling = comparable_identifiers({*names, *self.lines})
        channels: list[str] = []
        for given in self.lines:
            found = [channel for channel, *number in lines if spelling[given] in (spelling[name] for name in (channel, *number) if name)]
            if not found:
                raise StartsError(f"There is no line {given!r} in the report. Known: {', '.join(sorted(names))}.")
            channels += found
        return channels


class ExportSelection(ReportFilters):
    """The content and the format of an export on demand."""

    layout: Annotated[str, enum_value(Layout)] = Field(
        default=Layout.STANDARD.value,
        description="`standard`: as in the daily files. `botmaker`: only the original download's 18 columns, with its Spanish headers.",
    )
    language: str = Field(
        default="",
        description=f"Language of headers and failure reasons: {', '.join(Language)}. Empty: as in the daily files. "
        "In the layout `botmaker`, headers are always Spanish, and failure reasons are Spanish if this is empty.",
    )
    format: Annotated[str, enum_value(FileFormat)] = Field(
        default=FileFormat.TSV.value, description="`tsv`, or `xlsx`: ids as text, times as dates, for spreadsheets."
    )
    bom: bool = Field(default=False, description="Start a TSV with a byte order mark, by which Excel recognises UTF-8.")
    file_name: str = Field(default="", description="Name of the file below exports/on_demand. Empty: built from the period and the time.")

    @field_validator("language")
    @classmethod
    def _is_language(cls, value: str) -> str:
        return _one_of(Language, value) if value else ""

    @model_validator(mode="after")
    def _is_file_name(self) -> Self:
        if self.file_name and not (_FILE_NAME.fullmatch(self.file_name) and self.file_name.endswith(f".{self.format}")):
            raise ValueError(
                f"{self.file_name!r} is not a valid file name: use letters, digits, '.', '_' and '-', and the extension .{self.format}"
            )
        return self

    @model_validator(mode="after")
    def _has_bom_in_tsv_only(self) -> Self:
        if self.bom and self.format != FileFormat.TSV:
            raise ValueError("a byte order mark is only for the format tsv")
        return self


def _is_day(text: str) -> bool:
    try:
        return bool(_DAY.fullmatch(text) and date.fromisoformat(text))
    except ValueError:
        return False


def _values(published: duckdb.DuckDBPyConnection, query: str) -> set[str]:
    return {value for (value,) in published.execute(query).fetchall() if value is not None}

"""The source of published files and exports, and the report days that have changed since.

Everything that is made from the marts stores its source. In the publication and the exports, only this module reads the record of builds.
"""

from collections.abc import Collection
from datetime import UTC, date, datetime

import duckdb
from pydantic import BaseModel, ConfigDict, field_validator

from orchestration.publication.masking import masking_fingerprint
from orchestration.settings import Settings
from orchestration.transform.builds import FinishedBuild, days_changed_since, is_build_of_this_warehouse


class Source(BaseModel):
    """A finished build, and the settings that determine what leaves the warehouse.

    `build_started_at` is UTC; `change_number` is the number of the newest change of a report day that the marts contain.
    """

    model_config = ConfigDict(frozen=True)

    build_id: int
    build_started_at: datetime
    definition_sha256: str
    change_number: int
    report_timezone: str
    masking_fingerprint: str

    @field_validator("build_started_at")
    @classmethod
    def _is_utc(cls, value: datetime) -> datetime:
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def source_of(settings: Settings, build: FinishedBuild) -> Source:
    return Source(
        build_id=build.build_id,
        build_started_at=build.started_at,
        definition_sha256=build.definition_sha256,
        change_number=build.change_number,
        report_timezone=settings.report_timezone,
        masking_fingerprint=masking_fingerprint(settings),
    )


def published_source(published: duckdb.DuckDBPyConnection) -> Source:
    """Return the source of a published file, from its table `publish_info`."""
    columns = ", ".join(Source.model_fields)
    row = published.execute(f"select {columns} from publish_info").fetchone()
    assert row is not None
    return Source.model_validate(dict(zip(Source.model_fields, row, strict=True)))


def changed_days_between(warehouse: duckdb.DuckDBPyConnection, before: Source, now: Source, facts: Collection[str]) -> list[date] | None:
    """Return the days on which any of these facts changed between two sources, oldest first; None if `now` does not continue `before`.

    This is the case after a change of models or settings, for a warehouse that was recreated, and if `before` is newer than `now`.
    """
    settings_of = {"definition_sha256", "report_timezone", "masking_fingerprint"}
    if before.model_dump(include=settings_of) != now.model_dump(include=settings_of) or before.change_number > now.change_number:
        return None
    if not is_of_this_warehouse(warehouse, before) or not is_of_this_warehouse(warehouse, now):
        return None
    return days_changed_since(warehouse, before.change_number, facts)


def is_of_this_warehouse(warehouse: duckdb.DuckDBPyConnection, source: Source) -> bool:
    """Return whether a source is a build of this warehouse, and neither a new warehouse nor an erasure has invalidated it since."""
    return is_build_of_this_warehouse(warehouse, source.build_id, source.build_started_at.replace(tzinfo=None))

"""Counts of what a run of the job did and of what exists in total, as lines for people and as JSON. The counts add up."""

from collections.abc import Iterator
from dataclasses import asdict, astuple, dataclass, field
from datetime import UTC, datetime
from typing import Any

import duckdb

from orchestration.engines.engine import engine_of
from orchestration.landing import ledger
from orchestration.settings import PostgresSettings, Settings, publishes_to_postgres
from orchestration.transform.freshness import silences

_FACT = "fct_session_starts"


def counted(number: int, what: str) -> str:
    """Return a number with its noun, such as `1 file` or `2,000 files`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


@dataclass(frozen=True)
class Landed:
    """The landed files of a feed and their records: records = landed + rejected + erased."""

    files: int = 0
    files_set_aside: int = 0
    records: int = 0
    landed: int = 0
    rejected: int = 0
    erased: int = 0

    def __str__(self) -> str:
        return (
            f"{counted(self.files, 'file')} with {counted(self.records, 'record')}: {self.landed:,} landed, {self.rejected:,} rejected"
            + (f", {self.erased:,} of erased people" if self.erased else "")
            + (f"; {counted(self.files_set_aside, 'file')} set aside" if self.files_set_aside else "")
        )

    def __add__(self, other: "Landed") -> "Landed":
        return Landed(*(mine + its for mine, its in zip(astuple(self), astuple(other), strict=True)))


@dataclass
class ThisRun:
    """What one run did.

    `report_days_changed` is None if all report days were published. By mart, `rows_written` counts the rows of these days, and
    `rows_more` how many more there are than before.
    """

    landed: dict[str, Landed] = field(default_factory=dict)
    report_days_changed: int | None = 0
    rows_written: dict[str, int] = field(default_factory=dict)
    rows_more: dict[str, int] = field(default_factory=dict)
    tsvs_written: int = 0
    tsvs_removed: int = 0

    @property
    def published(self) -> str:
        if self.report_days_changed == 0:
            return "no report day changed"
        days = "all report days" if self.report_days_changed is None else counted(self.report_days_changed, "report day")
        starts = counted(self.rows_written.get(_FACT, 0), "start")
        more = self.rows_more.get(_FACT, 0)
        return f"{days} with {starts} of all origins, {abs(more):,} {'fewer' if more < 0 else 'more'} than before"

    @property
    def exported(self) -> str:
        removed = f", {counted(self.tsvs_removed, 'file')} removed" if self.tsvs_removed else ""
        return f"{counted(self.tsvs_written, 'daily TSV')} written{removed}"

    def lines(self) -> Iterator[str]:
        yield f"this run   new: {sum(self.landed.values(), start=Landed())}"
        yield f"this run   {self.published}; {self.exported}"


@dataclass(frozen=True)
class Report:
    """Counts of the rows with `is_in_report`, named like the metrics; the last three count only sent starts.

    session_starts_and_attempts = not_sent + pending + sent + started_by_a_person.
    """

    session_starts_and_attempts: int
    distinct_users: int
    not_sent: int
    pending: int
    sent: int
    started_by_a_person: int
    delivered: int
    read: int
    replied: int

    def lines(self) -> Iterator[str]:
        yield (
            f"report     {counted(self.session_starts_and_attempts, 'start')} by {counted(self.distinct_users, 'user')}: "
            f"{self.not_sent:,} not sent, "
            f"{self.pending:,} pending, {self.sent:,} sent, {self.started_by_a_person:,} started by a person"
        )
        yield f"report     of those sent: {self.delivered:,} delivered, {self.read:,} read, {self.replied:,} replied"


@dataclass(frozen=True)
class Totals:
    """What exists after a run. `not_read` lists files and folders of the landing zone, `silent` has a sentence per silent feed or line."""

    landed: dict[str, Landed]
    not_read: list[str]
    report: Report
    silent: list[str]
    published: list[str]
    daily_tsvs: int
    exports: str

    def lines(self) -> Iterator[str]:
        for feed, landed in self.landed.items():
            yield f"landed     {feed}: {landed}"
        if self.not_read:
            names = ", ".join(self.not_read[:5]) + (", …" if len(self.not_read) > 5 else "")
            yield f"not read   {len(self.not_read)} in the landing zone: {names}"
        yield from self.report.lines()
        for silence in self.silent:
            yield f"silent     {silence}"
        for location in self.published:
            yield f"published  {location}"
        yield f"exported   {counted(self.daily_tsvs, 'daily TSV')} in {self.exports}"


def as_json(status: str, seconds: float, reasons: list[str], this_run: ThisRun, totals: Totals | None) -> dict[str, Any]:
    """Return the run as JSON values. `status` is finished, failed, could_not_start or interrupted; `totals` is None if it is not known."""
    return {
        "status": status,
        "reasons": reasons,
        "seconds": round(seconds, 1),
        "this_run": asdict(this_run),
        "in_all": asdict(totals) if totals is not None else None,
    }


def count_totals(settings: Settings) -> Totals:
    """Count what exists in total, from the warehouse. Raises `StartsError` if it cannot be opened."""
    with engine_of(settings).open() as warehouse:
        landed = warehouse.execute(
            """
            select
                feed,
                count(*) filter (status = 'landed'),
                count(*) filter (status = 'set_aside'),
                sum(records)::bigint,
                sum(landed)::bigint,
                sum(rejected)::bigint,
                sum(erased)::bigint
            from raw.landed_files
            group by feed
            order by feed
            """
        ).fetchall()
        return Totals(
            landed={feed: Landed(*counts) for feed, *counts in landed},
            not_read=[entry.name for entry in ledger.read_skipped_entries(warehouse)],
            report=report_of(warehouse),
            silent=[str(silence) for silence in silences(warehouse, datetime.now(UTC).replace(tzinfo=None))],
            published=list(_published_locations(settings)),
            daily_tsvs=len(list(settings.exports_dir.glob("*.tsv"))),
            exports=str(settings.exports_dir),
        )


def report_of(warehouse: duckdb.DuckDBPyConnection) -> Report:
    """Count the rows of the report in an open warehouse."""
    row = warehouse.execute(
        """
        select
            count(*), count(distinct person_id),
            count(*) filter (is_not_sent), count(*) filter (last_status = 'pending'), count(*) filter (is_sent),
            count(*) filter (message_id is null),
            count(*) filter (is_delivered), count(*) filter (is_read), count(*) filter (is_replied)
        from marts.fct_session_starts where is_in_report
        """
    ).fetchone()
    assert row is not None
    return Report(*row)


def _published_locations(settings: Settings) -> Iterator[str]:
    yield str(settings.published_database)
    if publishes_to_postgres():
        postgres = PostgresSettings.from_environment()
        yield f"PostgreSQL at {postgres.address}, schema {postgres.schema}"

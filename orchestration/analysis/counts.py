"""Count the published report by template and stratum, and compare the templates."""

from dataclasses import dataclass
from enum import StrEnum
from importlib.util import find_spec
from typing import Annotated

import duckdb
from pydantic import Field

from orchestration.analysis.templates import Cell, FunnelCounts, TemplateComparison, compare_templates
from orchestration.errors import StartsError
from orchestration.exports.filters import ReportFilters, enum_value
from orchestration.installation import how_to_install
from orchestration.publication.masking import may_hold_number
from orchestration.publication.published import open_published
from orchestration.settings import Settings


class GroupedBy(StrEnum):
    TEMPLATE = "template"
    NOTIFICATION = "notification"


class Outcome(StrEnum):
    DELIVERED = "delivered"
    READ = "read"
    REPLIED = "replied"


class Window(StrEnum):
    """How long after a send a reply counts, and how old a send must be to count (contract, section 4.5)."""

    ONE_HOUR = "1h"
    ONE_DAY = "24h"
    THREE_DAYS = "72h"
    SEVEN_DAYS = "7d"

    @property
    def hours(self) -> int:
        return {"1h": 1, "24h": 24, "72h": 72, "7d": 168}[self.value]


class TemplateQuestion(ReportFilters):
    """What to compare: the report's filters, the grouping and the outcome. An empty filter selects everything."""

    by: Annotated[str, enum_value(GroupedBy)] = Field(
        default=GroupedBy.TEMPLATE.value, description="Compare WhatsApp templates (`template`) or bulk notifications (`notification`)."
    )
    outcome: Annotated[str, enum_value(Outcome)] = Field(default=Outcome.REPLIED.value, description=f"{', '.join(Outcome)}.")
    window: Annotated[str, enum_value(Window)] = Field(
        default=Window.ONE_DAY.value, description=f"Replies within {', '.join(Window)}; younger sends are left out."
    )
    baseline: str = Field(default="", description="Name that all others are compared with. Empty: the most sent one.")


@dataclass(frozen=True)
class _Counts:
    funnels: list[FunnelCounts]
    cells: list[Cell]


def compare_published(settings: Settings, question: TemplateQuestion) -> TemplateComparison:
    """Compare the templates of the published report. Needs no lock and changes nothing.

    Raises `StartsError` if statsmodels is not installed, if nothing is published, if a name is not in the report, and if no send that
    passes the filters is old enough.
    """
    if find_spec("statsmodels") is None:
        raise StartsError(f"statsmodels is not installed: run {how_to_install('stats')}.")
    with open_published(settings) as published:
        counts = _counted(published, question.with_channel_ids(published))
    names = {cell.name for cell in counts.cells}
    if not names:
        raise StartsError(f"No send with a {question.by} name that passes the filters went out more than {question.window} ago.")
    if question.baseline and question.baseline not in names:
        # Dagster stores this message, and an erasure cannot remove it from there.
        known = ", ".join(sorted(name for name in names if not may_hold_number(name)))
        raise StartsError(f"There is no {question.by} {question.baseline!r} with a send that is old enough. Known: {known}.")
    return compare_templates(counts.funnels, counts.cells, question.baseline or None)


def _counted(published: duckdb.DuckDBPyConnection, question: TemplateQuestion) -> _Counts:
    """Count sends by template, and people by template and stratum: line, user type, and week of the session's start."""
    condition, values = question.condition()
    success = {Outcome.DELIVERED: "is_delivered", Outcome.READ: "is_read", Outcome.REPLIED: "is_replied_within"}[Outcome(question.outcome)]
    published.execute(
        f"""
        create or replace temp table sends_compared as
        select
            s.{question.by}_name as name,
            s.person_id,
            s.channel_id,
            s.user_type,
            date_trunc('week', s.session_start_date) as week,
            s.sent_at,
            s.session_start_id,
            s.is_not_sent,
            s.is_sent,
            s.is_delivered,
            s.is_read,
            coalesce(s.first_reply_at <= s.sent_at + to_hours($hours), false) as is_replied_within,
            s.is_sent and coalesce(
                s.sent_at + to_hours($hours)
                < case s.source when 'botmaker' then i.newest_botmaker_event_at else i.newest_webhook_event_at end,
                false
            ) as is_mature
        from fct_session_starts as s
        cross join publish_info as i
        where s.is_in_report and s.message_id is not null and s.{question.by}_name is not null and {condition}
        """,
        {"hours": Window(question.window).hours, **values},
    )
    funnels = published.execute(
        """
        select
            name, count(*), count(*) filter (is_not_sent), count(*) filter (is_sent), count(*) filter (is_mature),
            count(*) filter (is_mature and is_delivered), count(*) filter (is_mature and is_read),
            count(*) filter (is_mature and is_replied_within)
        from sends_compared
        group by name
        """
    ).fetchall()
    # A person's later sends of a template depend on the first one, so they are not counted.
    cells = published.execute(
        f"""
        with first_sends as (
            select * from sends_compared
            where is_mature
            qualify row_number() over (partition by name, person_id order by sent_at, session_start_id) = 1
        )
        select name, channel_id, user_type, week, count(*), count(*) filter ({success})
        from first_sends
        group by name, channel_id, user_type, week
        order by all
        """
    ).fetchall()
    return _Counts([FunnelCounts(*row) for row in funnels], [Cell(name, tuple(stratum), n, x) for name, *stratum, n, x in cells])

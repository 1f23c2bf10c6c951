"""Tables of a template comparison: aligned text for a terminal, Markdown for Dagster."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from orchestration.analysis.counts import Outcome, TemplateQuestion
from orchestration.analysis.templates import Comparison, Rate, TemplateComparison
from orchestration.texts import printable


@dataclass(frozen=True)
class Table:
    title: str
    header: tuple[str, ...]
    rows: list[tuple[str, ...]]


def tables(comparison: TemplateComparison, question: TemplateQuestion, shown: Callable[[str], str] = str) -> tuple[Table, Table]:
    """Return two tables: funnels, and differences to the baseline. `shown` replaces names that must not be shown.

    If there is nothing to compare with, the second table has no rows, and its title states this.
    """
    funnels = Table(
        f"Sends, and shares of the mature ones (more than {question.window} before the newest event) with 95 % intervals",
        (question.by, "sends", "not sent", "sent", "mature", "delivered", "read", f"replied in {question.window}"),
        [
            (
                printable(shown(funnel.counts.name)),
                *(f"{count:,}" for count in (funnel.counts.sends, funnel.counts.not_sent, funnel.counts.sent, funnel.counts.mature)),
                *(format_rate(rate) for rate in (funnel.delivered, funnel.read, funnel.replied)),
            )
            for funnel in comparison.funnels
        ],
    )
    base, baseline = comparison.baseline_rate, printable(shown(comparison.baseline))
    if not comparison.comparisons:
        return funnels, Table(f"Nothing to compare: {baseline} is the only {question.by} with a send that is old enough", (), [])
    differences = Table(
        f"Rate: {format_outcome(question)}. Difference to {baseline}, {format_rate(base)} of {base.of:,} people, in points, by each "
        "person's first mature send",
        (question.by, "people", "rate", "difference", "p", "in line, user type, week", "p", "verdict"),
        [
            (
                printable(shown(one.name)),
                f"{one.rate.of:,}",
                format_rate(one.rate),
                _points(one.difference, one.low, one.high),
                _p(one.p),
                _points(one.stratified_difference, one.stratified_low, one.stratified_high),
                _p(one.stratified_p),
                _verdict(one),
            )
            for one in comparison.comparisons
        ],
    )
    return funnels, differences


def as_text(table: Table) -> Iterator[str]:
    widths = [max(map(len, cells)) for cells in zip(table.header, *table.rows, strict=True)]
    yield table.title
    for row in (table.header, *table.rows) if table.header else ():
        yield "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def as_markdown(table: Table) -> Iterator[str]:
    yield f"{_escaped(table.title)}\n"
    if not table.header:
        return
    yield f"| {' | '.join(table.header)} |"
    yield "|" + "---|" * len(table.header)
    for row in table.rows:
        yield f"| {' | '.join(map(_escaped, row))} |"


def format_outcome(question: TemplateQuestion) -> str:
    return f"replied within {question.window}" if question.outcome == Outcome.REPLIED else question.outcome


def format_rate(rate: Rate) -> str:
    return "-" if math.isnan(rate.share) else f"{rate.share:.1%} ({rate.low:.1%} to {rate.high:.1%})"


def _points(difference: float, low: float, high: float) -> str:
    return "-" if math.isnan(difference) else f"{100 * difference:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _verdict(comparison: Comparison) -> str:
    if comparison.additional_people is None:
        return comparison.verdict.value
    own, of_baseline = comparison.additional_people
    sides = [f"{own:,} for this one"] * (own > 0) + [f"{of_baseline:,} for the baseline"] * (of_baseline > 0)
    return f"{comparison.verdict.value}; missing people: {' and '.join(sides)}"


def _escaped(text: str) -> str:
    return "".join(f"\\{letter}" if letter in "\\`*_[]<>|!&" else letter for letter in text)

"""A comparison of templates in words: Markdown tables, for the terminal and for Dagster."""

import math
from collections.abc import Callable, Iterator

from orchestration.analysis.counts import TemplateQuestion
from orchestration.analysis.templates import Comparison, Rate, TemplateComparison


def in_words(comparison: TemplateComparison, question: TemplateQuestion, shown: Callable[[str], str] = str) -> Iterator[str]:
    """Yield the lines of the answer to a question; `shown` is what is shown of a name."""
    yield f"Sends that went out more than {question.window} before the newest event, with 95 % intervals (Wilson)"
    yield ""
    yield f"| {question.by} | sends | not sent | sent | mature | delivered | read | replied in {question.window} |"
    yield "|---|---:|---:|---:|---:|---|---|---|"
    for funnel in comparison.funnels:
        counts = funnel.counts
        rates = " | ".join(rate_in_words(rate) for rate in (funnel.delivered, funnel.read, funnel.replied))
        numbers = " | ".join(f"{count:,}" for count in (counts.sends, counts.not_sent, counts.sent, counts.mature))
        yield f"| {_cell(shown(counts.name))} | {numbers} | {rates} |"
    yield ""
    within = f" within {question.window}" if question.outcome == "replied" else ""
    yield (
        f"Difference of {question.outcome}{within} to {_cell(shown(comparison.baseline))} ({rate_in_words(comparison.baseline_rate)} of "
        f"{comparison.baseline_rate.of:,} people), by each person's first send, in points"
    )
    yield ""
    yield "| | people | rate | difference | p | within line, user type and week | p | verdict |"
    yield "|---|---:|---|---|---:|---|---:|---|"
    for one in comparison.comparisons:
        yield (
            f"| {_cell(shown(one.name))} | {one.rate.of:,} | {rate_in_words(one.rate)} | {_points(one.difference, one.low, one.high)} | "
            f"{one.p:.3f} | {_points(one.stratified_difference, one.stratified_low, one.stratified_high)} | {one.stratified_p:.3f} | "
            f"{_verdict(one)} |"
        )


def rate_in_words(rate: Rate) -> str:
    return "-" if math.isnan(rate.share) else f"{rate.share:.1%} ({rate.low:.1%} to {rate.high:.1%})"


def _points(difference: float, low: float, high: float) -> str:
    return "-" if math.isnan(difference) else f"{100 * difference:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"


def _verdict(one: Comparison) -> str:
    if one.missing is None:
        return one.verdict.value
    here, there = one.missing
    sides = [f"{here:,} for this one"] * (here > 0) + [f"{there:,} for the baseline"] * (there > 0)
    return f"{one.verdict.value}; missing people: {', '.join(sides)}"


def _cell(text: str) -> str:
    """Others choose these names: no control characters, and nothing that ends a cell or that Markdown or HTML would act on."""
    plain = "".join(letter if letter.isprintable() else " " for letter in text)
    return "".join(f"\\{letter}" if letter in "\\`*_[]<>|!" else letter for letter in plain)

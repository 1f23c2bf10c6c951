"""Compare templates: funnels with intervals, and differences to a baseline that hold within line, user type and week.

All functions are pure: counts in, dataclasses out. `docs/analysis.md` explains how to read the results.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from orchestration.analysis.differences import ALPHA, MIN_EXPECTED, compare_groups

POWER = 0.8
# No one plans more sends than this.
MAX_SAMPLE_SIZE = 10_000_000


class Verdict(StrEnum):
    """The verdict of a comparison; all values but the first two are reasons for giving none."""

    BETTER = "better"
    WORSE = "worse"
    TOO_FEW = "no verdict: too few people for a difference of this size"
    DISAGREE = "no verdict: the crude and the stratified answer disagree"
    NOTHING_SHARED = "no verdict: never sent on the same line, to the same user type, in the same week as the baseline"

    @property
    def is_found(self) -> bool:
        return self in (Verdict.BETTER, Verdict.WORSE)


@dataclass(frozen=True)
class Rate:
    """A share with its 95 % Wilson interval; all three values are nan if `of` is 0."""

    count: int
    of: int
    share: float
    low: float
    high: float


@dataclass(frozen=True)
class FunnelCounts:
    """Counts of a template's sends in the report. The last four cover mature sends that went out; `replied` is within the window."""

    name: str
    sends: int
    not_sent: int
    sent: int
    mature: int
    delivered: int
    read: int
    replied: int


@dataclass(frozen=True)
class Cell:
    """The number of people whose first mature send of a template is in a stratum, and how many of those sends had the outcome."""

    name: str
    stratum: Hashable
    people: int
    successes: int


@dataclass(frozen=True)
class Funnel:
    """A template's sends, and the share of mature sends that reached each later stage."""

    counts: FunnelCounts
    delivered: Rate
    read: Rate
    replied: Rate


@dataclass(frozen=True)
class Comparison:
    """A template against the baseline, per person. Differences are in shares, with 95 % intervals; p-values are Holm-adjusted.

    `stratified_*` are nan if no stratum is shared. `additional_people`: how many more people this template and the baseline
    each need, so that the difference is found in four of five cases; None if there is a verdict, no difference, or no number that helps.
    """

    name: str
    rate: Rate
    difference: float
    low: float
    high: float
    p: float
    stratified_difference: float
    stratified_low: float
    stratified_high: float
    stratified_p: float
    verdict: Verdict
    additional_people: tuple[int, int] | None


@dataclass(frozen=True)
class TemplateComparison:
    """Funnels of all templates, most sent first, and the comparisons with the baseline in the same order."""

    baseline: str
    baseline_rate: Rate
    funnels: list[Funnel]
    comparisons: list[Comparison]


def compare_templates(funnels: Sequence[FunnelCounts], cells: Sequence[Cell], baseline: str | None = None) -> TemplateComparison:
    """Compare every template with a baseline, by default the most sent template that has a mature send.

    Raises `ValueError` if the baseline has no cell, or no template has one. A template without cells only gets a funnel.
    """
    ordered = sorted(funnels, key=lambda counts: (-counts.sent, counts.name))
    with_people = {cell.name for cell in cells if cell.people}
    names = [counts.name for counts in ordered if counts.name in with_people]
    if not names or (baseline is not None and baseline not in names):
        raise ValueError("the baseline has no mature send that went out")
    base = names.index(baseline) if baseline is not None else 0
    people, successes = _counted([cell for cell in cells if cell.people], names)
    found = compare_groups(people, successes, base)
    n, x = people.sum(axis=-1), successes.sum(axis=-1)
    low, high = _newcombe(n, x, base)
    rates = [_rate(int(x[group]), int(n[group])) for group in range(len(names))]
    tests = max(int(found.is_enough.sum()), 1)
    comparisons = []
    for group, name in enumerate(names):
        if group == base:
            continue
        p, stratified_p = float(found.crude_p[group]), float(found.stratified_p[group])
        difference, stratified = float(found.crude[group]), float(found.stratified[group])
        verdict = _verdict(int(found.verdicts[group]), bool(found.is_enough[group]), stratified, p, stratified_p)
        pair = int(n[group]), int(n[base])
        additional_people = _additional_people(verdict, p, stratified_p, rates[base].share, rates[base].share + stratified, pair, tests)
        comparisons.append(
            Comparison(
                name=name,
                rate=rates[group],
                difference=difference,
                low=float(low[group]),
                high=float(high[group]),
                p=p,
                stratified_difference=stratified,
                stratified_low=float(found.stratified_low[group]),
                stratified_high=float(found.stratified_high[group]),
                stratified_p=stratified_p,
                verdict=verdict,
                additional_people=additional_people,
            )
        )
    return TemplateComparison(names[base], rates[base], [_funnel(counts) for counts in ordered], comparisons)


def _counted(cells: Sequence[Cell], names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return people and successes as arrays of shape (groups, strata)."""
    groups = {name: group for group, name in enumerate(names)}
    strata: dict[Hashable, int] = {}
    for cell in cells:
        strata.setdefault(cell.stratum, len(strata))
    people, successes = np.zeros((2, len(groups), len(strata)))
    for cell in cells:
        place = groups[cell.name], strata[cell.stratum]
        people[place] += cell.people
        successes[place] += cell.successes
    return people, successes


def _funnel(counts: FunnelCounts) -> Funnel:
    delivered, read, replied = (_rate(count, counts.mature) for count in (counts.delivered, counts.read, counts.replied))
    return Funnel(counts, delivered, read, replied)


def _rate(count: int, of: int) -> Rate:
    # Imported here and in the functions below, because it needs the extra `stats`.
    from statsmodels.stats.proportion import proportion_confint

    if of == 0:
        return Rate(count, of, math.nan, math.nan, math.nan)
    low, high = np.asarray(proportion_confint(count, of, alpha=ALPHA, method="wilson"), dtype=float)
    return Rate(count, of, count / of, float(low), float(high))


def _newcombe(people: np.ndarray, successes: np.ndarray, baseline: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the 95 % Newcombe interval of each difference to the baseline."""
    from statsmodels.stats.proportion import confint_proportions_2indep

    base = np.full_like(people, people[baseline]), np.full_like(successes, successes[baseline])
    return confint_proportions_2indep(successes, people, base[1], base[0], method="newcomb", compare="diff", alpha=ALPHA)


def _verdict(sign: int, is_enough: bool, stratified: float, p: float, stratified_p: float) -> Verdict:
    if sign:
        return Verdict.BETTER if sign > 0 else Verdict.WORSE
    if math.isnan(stratified):
        return Verdict.NOTHING_SHARED
    if is_enough and (p < ALPHA or stratified_p < ALPHA):
        return Verdict.DISAGREE
    return Verdict.TOO_FEW


def _additional_people(
    verdict: Verdict, p: float, stratified_p: float, base: float, other: float, people: tuple[int, int], tests: int
) -> tuple[int, int] | None:
    """Return how many more people each of two groups needs, with equal group sizes, to find the difference with power `POWER`.

    `tests` comparisons share `ALPHA`. None if the difference is found, if there is none, if both tests found it in opposite directions,
    or if more people would not help.
    """
    if verdict.is_found or verdict is Verdict.NOTHING_SHARED or (p < ALPHA and stratified_p < ALPHA):
        return None
    needed = required_sample_size(base, other, tests)
    if needed is None:
        return None
    additional_people = max(needed - people[0], 0), max(needed - people[1], 0)
    return additional_people if any(additional_people) else None


def required_sample_size(base: float, other: float, tests: int = 1) -> int | None:
    """Return how many people each of two groups needs to find the difference of two shares with `POWER`, if `tests` tests share `ALPHA`.

    None if the shares are equal, or more than `MAX_SAMPLE_SIZE` people are needed.
    """
    from scipy.special import ndtri
    from statsmodels.stats.proportion import proportion_effectsize

    effect = float(np.abs(np.asarray(proportion_effectsize(min(max(other, 0.0), 1.0), base))))
    if effect < 1e-6:
        return None
    # In closed form, because statsmodels' `solve_power` finds no root if a few people are enough.
    people = 2 * ((ndtri(1 - ALPHA / tests / 2) + ndtri(POWER)) / effect) ** 2
    pooled = (base + min(max(other, 0.0), 1.0)) / 2
    for_a_test = MIN_EXPECTED / min(pooled, 1 - pooled)
    needed = math.ceil(max(people, for_a_test))
    return needed if needed <= MAX_SAMPLE_SIZE else None

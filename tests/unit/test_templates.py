"""Tests of the comparison of templates: against statsmodels and values derived by hand, without a difference, and with misleading rates."""

import math
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

from orchestration.analysis.differences import compare_groups, holm, mantel_haenszel
from orchestration.analysis.templates import Cell, FunnelCounts, TemplateComparison, Verdict, compare_templates, required_sample_size

# Imported when used: every worker imports this module, and statsmodels takes half a second.
needs_statsmodels = pytest.mark.skipif(
    find_spec("statsmodels") is None, reason="need statsmodels (.venv/bin/uv sync --inexact --extra stats)"
)

DRAWS = 2_000


def compared(cells: dict[str, dict[str, tuple[int, int]]], baseline: str | None = None) -> TemplateComparison:
    """Compare templates in the form {name: {stratum: (people, successes)}}; the first has the most sends."""
    funnels = [FunnelCounts(name, 1000 - n, 1, 1000 - n, 500, 400, 300, 200) for n, name in enumerate(cells)]
    return compare_templates(
        funnels, [Cell(name, stratum, *counts) for name, strata in cells.items() for stratum, counts in strata.items()], baseline
    )


def test_intervals_match_published_examples() -> None:
    """Sources: Newcombe 1998, table II, case (a), 56/70 against 48/80; Wilson's interval of 81/263 from his paper on one proportion."""
    found = compared({"base": {"w": (80, 48)}, "other": {"w": (70, 56)}, "wilson": {"w": (263, 81)}})
    (other, wilson) = found.comparisons
    assert other.difference == pytest.approx(0.2)
    assert (round(other.low, 4), round(other.high, 4)) == (0.0524, 0.3339)
    assert (round(wilson.rate.low, 4), round(wilson.rate.high, 4)) == (0.2553, 0.3662)


def test_comparison_of_one_stratum_equals_the_crude_comparison() -> None:
    (comparison,) = compared({"base": {"w": (200, 20)}, "other": {"w": (300, 60)}}).comparisons
    assert comparison.stratified_difference == pytest.approx(comparison.difference) == pytest.approx(0.1)
    # By hand: the pooled rate is 80/500 = 0.16; z = 0.1 / sqrt(0.16 * 0.84 * (1/200 + 1/300)).
    z = 0.1 / math.sqrt(0.16 * 0.84 * (1 / 200 + 1 / 300))
    assert comparison.p == pytest.approx(math.erfc(z / math.sqrt(2)))
    assert comparison.verdict is Verdict.BETTER
    assert comparison.additional_people is None


def test_common_difference_matches_a_calculation_by_hand() -> None:
    """Use two strata of (n1, x1, n0, x0): (10, 6, 10, 4) and (20, 10, 30, 12)."""
    n1, x1, n0, x0 = (np.array(values, dtype=float) for values in ((10, 20), (6, 10), (10, 30), (4, 12)))
    difference, error, statistic = mantel_haenszel(n1, x1, n0, x0)
    weights = 100 / 20 + 600 / 50
    assert difference == pytest.approx(((6 * 10 - 4 * 10) / 20 + (10 * 30 - 12 * 20) / 50) / weights)
    p = (100 * 4 - 100 * 6) / 400 + (400 * 12 - 900 * 10 + 600 * 10 / 2) / 2500
    q = (6 * 6 + 4 * 4) / 40 + (10 * 18 + 12 * 10) / 100
    assert error == pytest.approx(math.sqrt(difference * p + q) / weights)
    excess = 6 - 10 * 10 / 20 + 10 - 20 * 22 / 50
    assert statistic == pytest.approx(excess**2 / (10 * 10 * 10 * 10 / (400 * 19) + 20 * 30 * 22 * 28 / (2500 * 49)))


def random_counts(seed: int, groups: int, strata: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    people = random.integers(0, 80, (groups, strata)).astype(float)
    return people, random.binomial(people.astype(int), random.uniform(0.05, 0.6, (groups, strata))).astype(float)


# Few seeds: `multipletests` runs a garbage collection at every call, which takes a second in a whole session.
@needs_statsmodels
@pytest.mark.sampled(4)
@pytest.mark.parametrize("seed", range(4))
def test_p_values_match_statsmodels(seed: int) -> None:
    from statsmodels.stats.contingency_tables import StratifiedTable
    from statsmodels.stats.multitest import multipletests
    from statsmodels.stats.proportion import proportions_ztest

    people, successes = random_counts(seed, 4, 6)
    found = compare_groups(people, successes, 1)
    crude, stratified = [], []
    for group in (0, 2, 3):
        counts, of = successes.sum(axis=1)[[group, 1]], people.sum(axis=1)[[group, 1]]
        crude.append(proportions_ztest(counts, of)[1])
        tables = [
            np.array([[x, n - x] for n, x in ((people[g, s], successes[g, s]) for g in (group, 1))])
            for s in range(6)
            if people[[group, 1], s].all()
        ]
        test: Any = StratifiedTable(tables).test_null_odds(correction=False)
        stratified.append(test.pvalue)
    assert found.crude_p[[0, 2, 3]] == pytest.approx(multipletests(crude, method="holm")[1])
    assert found.stratified_p[[0, 2, 3]] == pytest.approx(multipletests(stratified, method="holm")[1])
    assert (found.crude_p[1], found.stratified_p[1], found.verdicts[1]) == (1, 1, 0)


@needs_statsmodels
def test_holm_counts_only_the_tested_hypotheses() -> None:
    from statsmodels.stats.multitest import multipletests

    random = np.random.default_rng(7)
    p = random.uniform(0, 0.2, (6, 6))
    is_tested = random.uniform(size=(6, 6)) < 0.7
    found = holm(p, is_tested)
    for row in range(6):
        tested = is_tested[row]
        assert (found[row, ~tested] == 1).all()
        if tested.any():
            assert found[row, tested] == pytest.approx(multipletests(p[row, tested], method="holm")[1])


def draws(rates: np.ndarray, people: np.ndarray, seed: int) -> np.ndarray:
    """Draw the successes of `DRAWS` data sets from numbers of people (groups, strata) and rates that broadcast to them."""
    return np.random.default_rng(seed).binomial(people.astype(int), rates, (DRAWS, *people.shape)).astype(float)


NO_DIFFERENCE = {
    # Three groups against a baseline over six strata with the same rate.
    "alike": (np.full(6, 0.3), np.full((4, 6), 40.0)),
    # Strata differ much, and so do the periods in which each group was sent: crude rates differ although no template does.
    "confounded": (np.linspace(0.05, 0.7, 6), np.array([[90, 60, 40, 20, 10, 5], [5, 10, 20, 40, 60, 90]] * 2, dtype=float)),
    # A new template with few sends beside an old one with many, and rare replies.
    "rare": (np.full(5, 0.01), np.array([[2000] * 5, [10] * 5, [30] * 5, [150] * 5], dtype=float)),
    # A stratum for almost every person.
    "thin": (np.full(200, 0.2), np.full((3, 200), 2.0)),
}


@pytest.mark.parametrize("case", NO_DIFFERENCE)
def test_false_alarms_are_at_most_one_in_twenty(case: str) -> None:
    """Run 2,000 draws in which no template is better: any verdict in a draw is a false alarm."""
    rates, people = NO_DIFFERENCE[case]
    found = compare_groups(np.broadcast_to(people, (DRAWS, *people.shape)), draws(rates, people, seed=11), 0)
    assert (found.verdicts != 0).any(axis=-1).mean() <= 0.05
    if case == "confounded":
        # This is the purpose of stratification.
        assert (found.crude_p < 0.05).any(axis=-1).mean() > 0.9


def test_without_adjustment_there_would_be_more_false_alarms() -> None:
    people = np.full((9, 1), 300.0)
    successes = draws(np.full(1, 0.3), people, seed=3)
    found = compare_groups(np.broadcast_to(people, successes.shape), successes, 0)
    single = [compare_groups(people[[0, 1]] + 0 * successes[:, [0, g]], successes[:, [0, g]], 0).verdicts[:, 1] for g in range(1, 9)]
    assert (found.verdicts != 0).any(axis=-1).mean() <= 0.05 < 0.15 < np.mean(np.any(np.array(single) != 0, axis=0))


def test_suggested_number_of_people_finds_the_difference_in_four_of_five_cases() -> None:
    needed = required_sample_size(0.2, 0.26)
    assert needed is not None
    strata = 5
    people = np.full((2, strata), round(needed / strata))
    found = compare_groups(np.broadcast_to(people, (DRAWS, 2, strata)), draws(np.array([[0.2], [0.26]]), people, seed=5), 0)
    assert 0.77 <= (found.verdicts[:, 1] == 1).mean() <= 0.83
    assert (found.verdicts[:, 1] == -1).mean() == 0
    assert ((found.stratified_low[:, 1] < 0.06) & (found.stratified_high[:, 1] > 0.06)).mean() == pytest.approx(0.95, abs=0.015)


@pytest.mark.parametrize(
    ("people", "successes", "is_enough"),
    [
        # Five expected successes, or failures, in the smaller group: (50 + 50) * 10 % / 2.
        ((50, 50), (10, 0), True),
        ((50, 50), (9, 0), False),
        ((50, 50), (50, 40), True),
        ((50, 50), (50, 41), False),
        ((20, 1000), (4, 200), False),
        ((1000, 20), (200, 4), False),
    ],
)
def test_groups_are_compared_from_five_expected_successes_and_failures(
    people: tuple[int, int], successes: tuple[int, int], is_enough: bool
) -> None:
    found = compare_groups(*(np.array(counts, dtype=float)[:, None] for counts in (people, successes)), baseline=0)
    assert found.is_enough.tolist() == [False, is_enough]


# `base` is better in either week but was sent mostly in the week with few replies: the crude rates show the opposite.
SIMPSON = {"base": {"busy": (900, 180), "quiet": (100, 60)}, "other": {"busy": (100, 12), "quiet": (900, 450)}}


def test_simpsons_paradox_gives_no_verdict() -> None:
    (comparison,) = compared(SIMPSON).comparisons
    assert comparison.difference == pytest.approx(0.462 - 0.24)
    assert comparison.stratified_difference == pytest.approx(-0.09)
    assert comparison.p < 0.001
    assert comparison.stratified_p < 0.05
    assert comparison.verdict is Verdict.DISAGREE
    # More sends of the same kind would not settle this.
    assert comparison.additional_people is None
    # Each rate alone would give a verdict.
    for stratum in ("busy", "quiet"):
        (within,) = compared({name: {stratum: tuple(10 * n for n in strata[stratum])} for name, strata in SIMPSON.items()}).comparisons  # type: ignore[misc]
        assert within.verdict is Verdict.WORSE


def test_strata_with_one_template_give_no_verdict() -> None:
    (comparison,) = compared({"base": {"old": (500, 50)}, "other": {"new": (500, 200)}}).comparisons
    assert comparison.p < 0.001
    assert math.isnan(comparison.stratified_difference)
    assert comparison.verdict is Verdict.NOTHING_SHARED
    assert comparison.additional_people is None


@needs_statsmodels
@pytest.mark.parametrize(("base", "other", "tests"), [(0.2, 0.26, 1), (0.01, 0.013, 8), (0.5, 0.9, 3)])
def test_suggested_number_of_people_matches_statsmodels(base: float, other: float, tests: int) -> None:
    from statsmodels.stats.power import NormalIndPower
    from statsmodels.stats.proportion import proportion_effectsize

    effect = abs(float(proportion_effectsize(other, base)))
    needed = float(np.asarray(NormalIndPower().solve_power(effect, alpha=0.05 / tests, power=0.8)))
    assert required_sample_size(base, other, tests) == math.ceil(needed)


def test_every_pair_of_small_counts_has_an_answer() -> None:
    """Cover few people per template, of whom none or all may have replied, in one stratum or in two."""
    shares = [(n, x) for n in (1, 2, 3, 7) for x in sorted({0, 1, n - 1, n}) if x <= n]
    for n0, x0 in shares:
        for n1, x1 in shares:
            for strata in ({"w": (n1, x1)}, {"w": (n1, x1), "v": (n0, x1 % (n0 + 1))}):
                (comparison, _) = compared({"base": {"w": (n0, x0)}, "other": strata, "third": {"w": (1, 1)}}).comparisons
                assert not comparison.verdict.is_found
                assert comparison.additional_people is None or all(0 <= people < 10_000 for people in comparison.additional_people)


def test_missing_people_are_counted_for_each_template() -> None:
    (comparison,) = compared({"base": {"w": (2_000, 400)}, "other": {"w": (100, 23)}}).comparisons
    assert comparison.verdict is Verdict.TOO_FEW
    # By hand: (1.960 + 0.842)^2 / (2 asin sqrt(0.23) - 2 asin sqrt(0.2))^2 * 2.
    effect = 2 * math.asin(math.sqrt(0.23)) - 2 * math.asin(math.sqrt(0.2))
    needed = math.ceil(2 * (1.959964 + 0.841621) ** 2 / effect**2)
    assert comparison.additional_people == (needed - 100, needed - 2_000)
    assert required_sample_size(0.2, 0.2) is None
    assert required_sample_size(0.2, 0.20001) is None
    # So that five successes are expected.
    assert required_sample_size(0.0, 0.5) == required_sample_size(1.0, 0.5) == 20
    # There are enough people for a difference that the crude rates hide.
    (hidden,) = compared({"base": {"w": (100, 40), "v": (25, 20)}, "other": {"w": (100, 25), "v": (100, 50)}}).comparisons
    assert (hidden.verdict, hidden.additional_people) == (Verdict.DISAGREE, None)
    (several, _) = compared({"base": {"w": (2_000, 400)}, "other": {"w": (100, 23)}, "third": {"w": (1_000, 200)}}).comparisons
    assert several.additional_people is not None
    assert several.additional_people[0] > needed - 100


def test_baseline_is_the_most_sent_or_the_chosen_template() -> None:
    assert compared(SIMPSON).baseline == "base"
    found = compared(SIMPSON, "other")
    assert (found.baseline, found.comparisons[0].name) == ("other", "base")
    assert found.comparisons[0].difference == pytest.approx(0.24 - 0.462)
    with pytest.raises(ValueError, match="no mature send"):
        compared(SIMPSON, "nothing")
    with pytest.raises(ValueError, match="no mature send"):
        compared({})


def test_templates_sent_equally_often_are_ordered_by_name() -> None:
    funnels = [FunnelCounts(name, sends, 0, sent, 8, 7, 6, 5) for name, sends, sent in (("c", 20, 9), ("b", 12, 10), ("a", 11, 10))]
    found = compare_templates(funnels, [Cell(name, 1, 8, 5) for name in "abc"])
    assert [funnel.counts.name for funnel in found.funnels] == ["a", "b", "c"]
    assert (found.baseline, [one.name for one in found.comparisons]) == ("a", ["b", "c"])
    # A cell without people is none.
    assert compare_templates(funnels, [Cell("a", 1, 0, 0), Cell("c", 1, 8, 5)]).baseline == "c"


def test_template_without_mature_sends_has_only_a_funnel() -> None:
    funnels = [FunnelCounts("a", 10, 1, 9, 8, 7, 6, 5), FunnelCounts("b", 3, 0, 3, 0, 0, 0, 0)]
    found = compare_templates(funnels, [Cell("a", 1, 8, 5)])
    assert found.comparisons == []
    assert [funnel.counts.name for funnel in found.funnels] == ["a", "b"]
    assert found.funnels[0].read.share == 6 / 8
    assert math.isnan(found.funnels[1].read.share)

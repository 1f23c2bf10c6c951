"""Differences between the rates of several groups and a baseline: crude and stratified, with p-values adjusted for all comparisons.

Every function takes arrays whose last axes are groups and strata. Axes before them are independent data sets, so that one call can
simulate thousands.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Below this many expected successes or failures in a group (Cochran's rule), the normal approximation finds spurious differences.
MIN_EXPECTED = 5.0
ALPHA = 0.05
_Z_95 = 1.959963984540054


@dataclass(frozen=True)
class Differences:
    """Each group against the baseline, in shares (0.02: two percentage points); arrays of shape (..., groups).

    `crude_*` ignore strata, `stratified_*` compare within them; p-values are Holm-adjusted. A value that cannot be computed is nan, with
    p-value 1. `is_enough`: the counts allow a test. `verdicts`: 1 better, -1 worse, 0 none. The baseline has difference 0 and p-value 1.
    """

    crude: Array
    crude_p: Array
    stratified: Array
    stratified_low: Array
    stratified_high: Array
    stratified_p: Array
    is_enough: NDArray[np.bool_]
    verdicts: NDArray[np.int8]


def compare_groups(people: Array, successes: Array, baseline: int, alpha: float = ALPHA) -> Differences:
    """Compare every group with the group `baseline`. `people` and `successes` are counts of shape (..., groups, strata).

    For a verdict, both the crude and the stratified test must be significant at `alpha`, in the same direction.
    """
    n, x = people.sum(axis=-1), successes.sum(axis=-1)
    n0, x0 = n[..., [baseline]], x[..., [baseline]]
    with np.errstate(divide="ignore", invalid="ignore"):
        crude = x / n - x0 / n0
        pooled = (x + x0) / (n + n0)
        z = crude / np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / n0))
        # Not `1 - pooled`, whose rounding error would exclude a count of exactly `MIN_EXPECTED`.
        smallest = np.minimum(n, n0) * np.minimum(x + x0, n + n0 - x - x0) / (n + n0)
    is_baseline = np.arange(n.shape[-1]) == baseline
    is_enough = (smallest >= MIN_EXPECTED) & ~is_baseline
    crude_p = holm(_two_sided(z), is_enough)
    common, error, statistic = mantel_haenszel(people, successes, people[..., [baseline], :], successes[..., [baseline], :])
    stratified_p = holm(_two_sided(np.sqrt(statistic)), is_enough)
    is_found = (crude_p < alpha) & (stratified_p < alpha) & (np.sign(crude) == np.sign(common))
    verdicts = np.where(is_found, np.sign(common), 0).astype(np.int8)
    return Differences(crude, crude_p, common, common - _Z_95 * error, common + _Z_95 * error, stratified_p, is_enough, verdicts)


def mantel_haenszel(n1: Array, x1: Array, n0: Array, x0: Array) -> tuple[Array, Array, Array]:
    """Return the common risk difference over the last axis, its standard error (Sato), and the Mantel-Haenszel statistic.

    The statistic has one degree of freedom and no continuity correction. Strata with only one side contribute nothing; if there are
    no other strata, all three values are nan.
    """
    total = n1 + n0
    with np.errstate(divide="ignore", invalid="ignore"):
        weights = _over(n1 * n0, total).sum(axis=-1)
        difference = (_over(x1 * n0, total) - _over(x0 * n1, total)).sum(axis=-1) / weights
        p = _over(n1 * n1 * x0 - n0 * n0 * x1 + n1 * n0 * (n0 - n1) / 2, total * total).sum(axis=-1)
        q = _over(x1 * (n0 - x0) + x0 * (n1 - x1), 2 * total).sum(axis=-1)
        error = np.sqrt(np.maximum(difference * p + q, 0)) / weights
        successes = x1 + x0
        excess = (x1 - _over(n1 * successes, total)).sum(axis=-1)
        variance = _over(n1 * n0 * successes * (total - successes), total * total * (total - 1)).sum(axis=-1)
        statistic = excess * excess / variance
    return difference, error, statistic


def holm(p: Array, is_tested: NDArray[np.bool_]) -> Array:
    """Adjust p-values over the last axis by Holm's method. Those that are not tested, or nan, do not count and become 1."""
    usable = is_tested & ~np.isnan(p)
    order = np.argsort(np.where(usable, p, np.inf), axis=-1)
    factors = np.maximum(usable.sum(axis=-1, keepdims=True) - np.arange(p.shape[-1]), 1)
    ordered = np.take_along_axis(np.where(usable, p, 1.0), order, axis=-1)
    adjusted = np.minimum(np.maximum.accumulate(ordered * factors, axis=-1), 1.0)
    result = np.empty_like(adjusted)
    np.put_along_axis(result, order, adjusted, axis=-1)
    return np.where(usable, result, 1.0)


def _over(numerator: Array, denominator: Array) -> Array:
    """Divide; the result is 0 where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.zeros(np.broadcast(numerator, denominator).shape), where=denominator > 0)


def _two_sided(z: Array) -> Array:
    # Imported here, because SciPy is installed only with the extra `stats`.
    from scipy.special import ndtr

    return 2 * ndtr(-np.abs(z))

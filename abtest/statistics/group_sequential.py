"""Effects at planned looks: repeated intervals and p-values by alpha spending, and what to say after stopping.

The guarantee: whatever the true effect, the intervals of all looks cover it together with the level, as long as the
timing of the looks does not follow the results. Intervals are wide early and, at the planned sample, a few percent
wider than those of a test that was read once.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize

from abtest.statistics.crossing import CLOSEST, check_fractions, crossing
from abtest.statistics.effect import Effects, Words, check_level, compose, variance_of_difference
from abtest.statistics.estimate import Estimate, ratio_of_means, symmetric
from abtest.statistics.moments import Array, Moments
from abtest.statistics.spending import DEFAULT, boundaries, inflation
from abtest.types import Effect

LAST_LOOK_PASSED = "the planned sample was reached at an earlier look, which was the last: read that one"
TOO_CLOSE = "hardly any units since the look before: this is not a look of its own"
LONGEST_REASON = max(len(LAST_LOOK_PASSED), len(TOO_CLOSE))
SMALLEST_P = 1e-16  # p-values below this are reported as this


def effect(
    control: Moments, treatment: Moments, level: float, planned: float, spending: str = DEFAULT, *, ended: bool = False
) -> Effect:
    """The effect at the last of the looks that the leading axis (k,) runs over: cumulative moments, oldest first."""
    return effects(control, treatment, level, planned, spending, ended=ended).rows()[-1]


def effects(
    control: Moments, treatment: Moments, level: float, planned: float, spending: str = DEFAULT, *, ended: bool = False
) -> Effects:
    """The effects on a mean, proportion or ratio at every look: the moments' last axis (..., k), cumulative.

    planned: units of both arms; ended: the experiment stops at the last look, even if short of its plan.
    """
    return compare(ratio_of_means(control), ratio_of_means(treatment), level, planned, spending, ended=ended)


def compare(
    control: Estimate,
    treatment: Estimate,
    level: float,
    planned: float,
    spending: str = DEFAULT,
    *,
    ended: bool = False,
    covariance: ArrayLike = 0.0,
) -> Effects:
    """The comparison of any two estimates at every look (..., k), and their covariance where they share something."""
    check_level(level)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = (treatment.value - control.value) / np.sqrt(variance_of_difference(control, treatment, covariance))
    shape, n = z.shape, control.n + treatment.n
    if len(shape) == 0:
        raise ValueError("looks run along the last axis: moments (..., k), got a single sample; give it as (1,)")
    scores = z.reshape(-1, shape[-1])
    critical: Array = np.empty(scores.shape)
    p_value: Array = np.empty(scores.shape)
    reason: Words = np.empty(scores.shape, dtype=f"U{LONGEST_REASON}")
    # comparisons share their boundaries where their units came in alike
    paths, which = np.unique(n.reshape(scores.shape), axis=0, return_inverse=True)
    for number, path in enumerate(paths):
        rows = which.ravel() == number
        critical[rows], p_value[rows], reason[rows] = _at_looks(
            path, scores[rows], planned=planned, alpha=1.0 - level, spending=spending, ended=ended
        )
    critical, p_value, reason = critical.reshape(shape), p_value.reshape(shape), reason.reshape(shape)
    found = compose(
        control,
        treatment,
        reaches=(symmetric(control, critical), symmetric(treatment, critical)),
        p_value=p_value,
        method=f"looks planned ({spending.replace('_', ' ')} spending to {planned:,.0f} units)",
        level=level,
        covariance=covariance,
    )
    # a look that is none has no interval, and that is more to the point than anything about its lift
    return replace(found, reason=np.where((reason != "") & ~np.isnan(z), reason, found.reason))


def looks_of(units: ArrayLike, planned: float) -> tuple[NDArray[np.intp], Words]:
    """Which of the cumulative units (k,) are looks of the plan, and why the others are not, in words (k,)."""
    if not planned >= 1:
        raise ValueError(f"planned must be at least one unit, got {planned}")
    fractions = np.asarray(units, dtype=np.float64) / planned
    looks: list[int] = []
    reason = np.full(fractions.shape, "", dtype=f"U{LONGEST_REASON}")
    for k, fraction in enumerate(fractions):
        before = fractions[looks[-1]] if looks else 0.0
        if before >= 1.0:
            reason[k] = LAST_LOOK_PASSED
        elif fraction <= before or (looks and fraction - before < CLOSEST):
            reason[k] = TOO_CLOSE
        else:
            looks.append(k)
    return np.asarray(looks, dtype=np.intp), reason


def guarantee(looks: int, level: float, spending: str = DEFAULT) -> str:
    """What holds and what it costs, in a sentence; for evenly spaced looks.

    >>> guarantee(28, 0.95)
    'Holds at the 28 planned looks together, not at others; needs at most 5% more units than a test read once.'
    """
    more = inflation(np.arange(1, looks + 1) / looks, 1.0 - check_level(level), 0.8, spending) - 1.0
    return (
        f"Holds at the {looks} planned looks together, not at others; needs at most {more:.0%} more units than a test "
        "read once."
    )


def repeated_p(fractions: ArrayLike, scores: ArrayLike, spending: str = DEFAULT, alpha: float = 0.05) -> Array:
    """The smallest alpha at which a look up to this one would have stopped: scores (..., k) -> p-values (..., k).

    Valid at every look together; below alpha exactly where a boundary of `alpha` has been passed.
    """
    looks = tuple(check_fractions(fractions).tolist())
    return _repeated(np.abs(np.asarray(scores, dtype=np.float64)), _table(looks, alpha, spending, False))


def stagewise_p(fractions: ArrayLike, bounds: ArrayLike, score: float, drift: float = 0.0) -> float:
    """P(a result at least as high as stopping at the last look with `score`), by stage-wise ordering (Siegmund 1978).

    fractions, bounds: of the looks up to the one that stopped. The earlier a walk stopped above, the higher; with drift
    0 this is the one-sided p-value of an experiment that has stopped, and rises with the drift.
    """
    looks, upper = check_fractions(fractions), np.asarray(bounds, dtype=np.float64)
    # the last boundary is replaced by what was seen
    left = crossing(looks, np.append(upper[:-1], score), np.append(-upper[:-1], -np.inf), drift)
    return float(left.upper.sum())


def after_stopping(
    fractions: ArrayLike, bounds: ArrayLike, score: float, level: float = 0.95
) -> tuple[float, float, float]:
    """(median-unbiased score, low, high): what an experiment that stopped says, corrected for having stopped.

    In scores at the last look (times its standard error: in units of the metric). The plain estimate of an experiment
    that was stopped for being high is too high; this one is too high half the time, and its interval holds.
    """
    check_level(level)
    looks = check_fractions(fractions)
    to_score = float(np.sqrt(looks[-1]))

    def drift_where(probability: float) -> float:
        reach = (abs(score) + 10.0) / to_score
        found = optimize.brentq(lambda drift: stagewise_p(looks, bounds, score, drift) - probability, -reach, reach)
        return float(found) * to_score

    tail = (1.0 - level) / 2.0
    return drift_where(0.5), drift_where(tail), drift_where(1.0 - tail)


def _at_looks(
    n: NDArray[np.int64], z: Array, *, planned: float, alpha: float, spending: str, ended: bool
) -> tuple[Array, Array, Words]:
    """Critical values and repeated p-values (m, k) of comparisons with units n (k,), and what is wrong (k,)."""
    looks, reason = looks_of(n, planned)
    critical, p_value = np.full(z.shape, np.nan), np.full(z.shape, np.nan)
    if len(looks):
        table = _table(tuple((n[looks] / planned).tolist()), alpha, spending, ended)
        critical[:, looks] = table.bounds[table.chosen]
        p_value[:, looks] = _repeated(np.abs(z[:, looks]), table)
    return critical, p_value, reason


@dataclass(frozen=True, eq=False, kw_only=True)
class _Table:
    """The boundaries (a, k) of many alphas (a,), rising; `chosen` is the row of the alpha that was asked for."""

    alphas: Array
    bounds: Array
    chosen: int


@lru_cache(maxsize=64)
def _table(fractions: tuple[float, ...], alpha: float, spending: str, ended: bool) -> _Table:
    """The boundaries of many alphas; remembered, since the same looks come back for every metric of an experiment."""
    others = np.concatenate([np.logspace(np.log10(SMALLEST_P), -2, 22), np.linspace(0.02, 0.98, 13)])
    alphas = np.unique(np.append(others, alpha))
    bounds = np.stack([boundaries(fractions, float(each), spending, ended=ended) for each in alphas])
    bounds.flags.writeable = False
    return _Table(alphas=alphas, bounds=bounds, chosen=int(np.searchsorted(alphas, alpha)))


def _repeated(distance: Array, table: _Table) -> Array:
    """The running minimum of the alphas whose boundary each distance (..., k) just reaches; NaN leaves it as it was."""
    p_value = np.ones(distance.shape)
    for look in range(distance.shape[-1]):
        known = np.isfinite(table.bounds[:, look])
        # log alpha is nearly linear in the square of its boundary
        squares, logs = table.bounds[known, look][::-1] ** 2, np.log(table.alphas[known])[::-1]
        if len(squares):
            at = np.where(np.isnan(distance[..., look]), -1.0, distance[..., look])
            p_value[..., look] = np.exp(np.interp(at**2 * np.sign(at), squares, logs, left=0.0))
    return np.where(np.isnan(distance), np.nan, np.minimum.accumulate(p_value, axis=-1))

"""Proportions: Newcombe's interval with the score test, and Fisher's exact test where outcomes are few.

Not wherever units are few: enumerated over all tables, Fisher's test at 5% rejects 1.7% of equal arms with 200 units
each at a rate of 2% (3.4% at 10%), the score test 4.5% (4.8%). Above the limits below, the score test rejects 3.7 to
5.7%, with arms as uneven as 9 to 1.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import special

from abtest.statistics.effect import Effects, check_level, compose
from abtest.statistics.estimate import Estimate, Reach
from abtest.statistics.moments import Array, Moments
from abtest.types import Effect

METHOD, EXACT = "Newcombe interval, score test", "Newcombe interval, Fisher's exact test"
EXACT_BELOW_UNITS = 100  # of both arms together
EXACT_BELOW_EXPECTED = 2.0  # of the rarer outcome in the smaller arm, if the arms were alike


def effect(control: Moments, treatment: Moments, level: float) -> Effect:
    """The effect on the share of units whose "numerator" is 1; it must be 0 or 1 for every unit."""
    return effects(control, treatment, level).single()


def effects(control: Moments, treatment: Moments, level: float) -> Effects:
    """`effect` over the leading axes of the moments."""
    z = -special.ndtri((1.0 - check_level(level)) / 2.0)
    arms = share(control), share(treatment)
    few = _few(*arms)
    p_value = score_test(*arms)
    if few.any():
        n = control.n[few], treatment.n[few]
        p_value[few] = fisher_exact(*_rarer(_ones(arms[0])[few], _ones(arms[1])[few], *n), *n)
    return compose(
        *arms,
        reaches=(wilson(arms[0], z), wilson(arms[1], z)),
        p_value=p_value,
        method=np.where(few, EXACT, METHOD),
        level=level,
    )


def share(moments: Moments) -> Estimate:
    """The share of ones; refuses a column that is not 0 or 1."""
    n, value = moments.n, moments.of_column("numerator")
    bernoulli = value * (1.0 - value)
    off = np.abs(moments.product("numerator", "numerator") - n * bernoulli) > 1e-6 * np.maximum(n, 1)
    if (off | (value < 0) | (value > 1)).any():
        raise ValueError(f"a proportion needs units that are 0 or 1, got a mean of {value} with another spread")
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = np.where(n > 1, bernoulli / n, np.nan)
    return Estimate(value=value, variance=variance, n=n)


def wilson(arm: Estimate, z: float) -> Reach:
    """Wilson's score interval, as distances from the share."""
    with np.errstate(divide="ignore", invalid="ignore"):
        shrink = z**2 / arm.n
        centre = (arm.value + shrink / 2.0) / (1.0 + shrink)
        half = z * np.sqrt(arm.value * (1.0 - arm.value) / arm.n + shrink / (4.0 * arm.n)) / (1.0 + shrink)
    # rounding may push an end past 0 or 1, where the share itself stands
    return Reach(
        below=np.clip(arm.value - (centre - half), 0.0, arm.value),
        above=np.clip(centre + half - arm.value, 0.0, 1.0 - arm.value),
    )


def score_test(control: Estimate, treatment: Estimate) -> Array:
    """The p-value of the two-proportion z test with pooled variance (Pearson's chi-square without correction)."""
    n = control.n + treatment.n
    with np.errstate(divide="ignore", invalid="ignore"):
        pooled = (control.value * control.n + treatment.value * treatment.n) / n
        z = (treatment.value - control.value) / np.sqrt(pooled * (1.0 - pooled) * (1.0 / control.n + 1.0 / treatment.n))
    return np.asarray(2.0 * special.ndtr(-np.abs(z)))


def fisher_exact(
    control: Array, treatment: Array, n_control: NDArray[np.int64], n_treatment: NDArray[np.int64]
) -> Array:
    """Fisher's two-sided p-value of successes among n: the tables that are no likelier than the one seen; all (m,)."""
    successes = control + treatment
    possible_most = int(np.minimum(n_control, successes).max(initial=0))
    x = np.arange(possible_most + 1)[None, :]  # successes that control could have had
    n1, n2, k = n_control[:, None], n_treatment[:, None], successes[:, None]
    possible = (x <= n1) & (x <= k) & (k - x <= n2)
    with np.errstate(invalid="ignore"):
        log = -sum(special.gammaln(part + 1.0) for part in (x, n1 - x, k - x, n2 - k + x))
    log = np.where(possible, log, -np.inf)
    seen = np.take_along_axis(log, control.astype(np.int64)[:, None], axis=1)
    weight = np.exp(log - log.max(axis=1, keepdims=True))
    # equally likely tables differ in the last digits only
    extreme = np.where(log <= seen + 1e-7, weight, 0.0)
    return np.asarray(np.minimum(extreme.sum(axis=1) / weight.sum(axis=1), 1.0))


def _few(control: Estimate, treatment: Estimate) -> NDArray[np.bool_]:
    """Where the normal law is no match for the counts."""
    n, ones = control.n + treatment.n, _ones(control) + _ones(treatment)
    expected = np.minimum(ones, n - ones) / np.maximum(n, 1) * np.minimum(control.n, treatment.n)
    return np.asarray((n < EXACT_BELOW_UNITS) | (expected < EXACT_BELOW_EXPECTED))


def _rarer(
    control: Array, treatment: Array, n_control: NDArray[np.int64], n_treatment: NDArray[np.int64]
) -> tuple[Array, Array]:
    """Both arms' counts of whichever outcome is rarer: the test is the same, its tables are fewer."""
    others = 2.0 * (control + treatment) > n_control + n_treatment
    return np.where(others, n_control - control, control), np.where(others, n_treatment - treatment, treatment)


def _ones(arm: Estimate) -> Array:
    return np.where(arm.n > 0, np.rint(np.nan_to_num(arm.value) * arm.n), 0.0)

"""Always-valid inference: intervals that may be looked at every day, and a p-value that holds at every look.

The asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas (2021), which is the two-sided
normal mixture of Howard et al. (2021), and, turned round, the mixture sequential probability ratio test of Johari et
al. (2017): with a prior of standard deviation tau on the effect, rho = tau / sqrt(se**2 * n), and p-value, e-value and
interval are the same numbers (`mixture_sprt`). It is narrowest somewhat before the planned number of units.

The guarantee: however often and for whatever reason one looks, the chance that any interval ever misses the true effect
is at most 1 - level, for large samples. The price is width: about 1.55 times a fixed test's interval at the planned
sample, for good (`relative_width`), and half of the power where a fixed test has 80%. Where the looks are planned,
alpha spending (abtest.statistics.group_sequential) costs a few percent only.
"""

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from abtest.statistics.effect import Effects, check_level, compose, variance_of_difference
from abtest.statistics.estimate import Estimate, ratio_of_means, symmetric
from abtest.statistics.moments import Array, Moments
from abtest.types import Effect

TUNED_SHARE = 0.7  # of the plan, where the sequence is narrowest: most power over the whole way (50.4%, 50.0% at 1)
UNPLANNED = 10_000.0  # units for which the sequence is tuned when none were planned; fixed before any data is seen


def effect(control: Moments, treatment: Moments, level: float, planned: float = UNPLANNED) -> Effect:
    """The effect on a mean, proportion or ratio, valid at whatever moment one looks; planned: units of both arms."""
    return effects(control, treatment, level, planned).single()


def effects(control: Moments, treatment: Moments, level: float, planned: float = UNPLANNED) -> Effects:
    """`effect` over the leading axes of the moments: days, for instance."""
    return compare(ratio_of_means(control), ratio_of_means(treatment), level, planned)


def compare(
    control: Estimate,
    treatment: Estimate,
    level: float,
    planned: float = UNPLANNED,
    *,
    covariance: ArrayLike = 0.0,
) -> Effects:
    """The always-valid comparison of any two estimates, and their covariance where they share something."""
    alpha = 1.0 - check_level(level)
    n = control.n + treatment.n
    with np.errstate(divide="ignore", invalid="ignore"):
        z = (treatment.value - control.value) / np.sqrt(variance_of_difference(control, treatment, covariance))
    tuned = TUNED_SHARE * planned
    critical = boundary(n, alpha, tuned)
    return compose(
        control,
        treatment,
        reaches=(symmetric(control, critical), symmetric(treatment, critical)),
        p_value=p_value(z, n, alpha, tuned),
        method=f"always valid (confidence sequence tuned to {planned:,.0f} units)",
        level=level,
        covariance=covariance,
    )


def boundary(n: ArrayLike, alpha: float, planned: float) -> Array:
    """How many standard errors the interval reaches at n units; NaN at 0 units.

    >>> round(100_000**0.5 * float(boundary(100_000, 0.05, 5_000)), 8)
    1055.20700343
    """
    n = np.asarray(n, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        mixed = n * mixing(alpha, planned) ** 2
        return np.asarray(np.sqrt((mixed + 1.0) / mixed * (np.log1p(mixed) - 2.0 * math.log(alpha))))


def p_value(z: ArrayLike, n: ArrayLike, alpha: float, planned: float) -> Array:
    """min(1, 1 / e-value) of an estimate z standard errors from 0: below alpha exactly where the interval is beyond."""
    z, mixed = np.asarray(z, dtype=np.float64), np.asarray(n, dtype=np.float64) * mixing(alpha, planned) ** 2
    # in logarithms: an e-value of 400 standard errors is beyond the largest float
    return np.asarray(np.exp(-np.maximum(_log_e(z, mixed), 0.0)))


def e_value(z: ArrayLike, n: ArrayLike, alpha: float, planned: float) -> Array:
    """The evidence against no effect: by luck it ever grows tenfold at most once in ten, whenever one looks.

    E-values of independent experiments may be multiplied; inf beyond the largest float.
    """
    z, mixed = np.asarray(z, dtype=np.float64), np.asarray(n, dtype=np.float64) * mixing(alpha, planned) ** 2
    with np.errstate(over="ignore"):
        return np.asarray(np.exp(_log_e(z, mixed)))


def mixture_sprt(absolute: ArrayLike, se: ArrayLike, tau: float) -> Array:
    """The e-value of the mixture SPRT whose prior on the effect is normal around 0 with standard deviation tau.

    In the metric's own units, for teams that know how large effects usually are; p = min(1, 1 / e).
    """
    if not tau > 0:
        raise ValueError(f"tau must be > 0, got {tau}; it is the usual size of an effect, in the metric's units")
    absolute, se = np.asarray(absolute, dtype=np.float64), np.asarray(se, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.asarray(np.exp(_log_e(absolute / se, (tau / se) ** 2)))


def one_sided_p_value(z: ArrayLike, n: ArrayLike, alpha: float, planned: float) -> Array:
    """min(1, 1 / e-value) against "no better than 0": the mixture over better effects only (half a normal).

    Tuned as the two-sided sequence at 2 alpha, whose upper half it is. For guardrails: z counts from the margin.
    """
    z, mixed = np.asarray(z, dtype=np.float64), np.asarray(n, dtype=np.float64) * mixing(2.0 * alpha, planned) ** 2
    return np.asarray(np.exp(-np.maximum(_log_half_e(z, mixed), 0.0)))


def one_sided_boundary(n: ArrayLike, alpha: float, planned: float) -> Array:
    """How many standard errors the one-sided interval reaches below the estimate at n units; NaN at 0 units."""
    n = np.asarray(n, dtype=np.float64)
    mixed = np.where(n > 0, n * mixing(2.0 * alpha, planned) ** 2, np.nan)
    # the closed form of Waudby-Smith et al. lies a little outside; Newton's steps from there fall onto the boundary
    z = np.sqrt(2.0 * (mixed + 1.0) / mixed * np.log1p(np.sqrt(mixed + 1.0) / (2.0 * alpha)))
    share = mixed / (mixed + 1.0)
    for _ in range(8):
        at = z * np.sqrt(share)
        slope = share * z + np.sqrt(share) * np.exp(-0.5 * at**2 - special.log_ndtr(at)) / math.sqrt(2.0 * math.pi)
        z = z - (_log_half_e(z, mixed) + math.log(alpha)) / slope
    return np.asarray(z)


def relative_width(n: ArrayLike, alpha: float, planned: float) -> Array:
    """How many times wider than a fixed test's interval the sequence is at n units: what looking costs.

    >>> relative_width([2_000, 20_000, 200_000], 0.05, 20_000).round(2).tolist()
    [1.97, 1.55, 1.65]
    """
    return np.asarray(boundary(n, alpha, planned) / -special.ndtri(alpha / 2.0))


def guarantee(n: float, level: float, planned: float = UNPLANNED) -> str:
    """What holds and what it costs, in a sentence.

    >>> guarantee(10_000, 0.95, 10_000)
    'Holds whenever and however often one looks; its interval is 1.6 times as wide as that of a test read once.'
    """
    wider = float(relative_width(n, 1.0 - check_level(level), TUNED_SHARE * planned))
    return (
        f"Holds whenever and however often one looks; its interval is {wider:.1f} times as wide as that of a test "
        "read once."
    )


def mixing(alpha: float, planned: float) -> float:
    """rho, the width of the mixture that makes the interval narrowest at the planned number of units."""
    if not planned > 0:
        raise ValueError(f"planned must be above 0 units, got {planned}")
    return math.sqrt((-2.0 * math.log(alpha) + math.log(1.0 - 2.0 * math.log(alpha))) / planned)


def _log_e(z: Array, mixed: Array) -> Array:
    """log of the mean likelihood ratio over a normal prior of variance `mixed` squared standard errors."""
    return np.asarray(mixed * z**2 / (2.0 * (mixed + 1.0)) - np.log1p(mixed) / 2.0)


def _log_half_e(z: Array, mixed: Array) -> Array:
    """The same over the upper half of that prior."""
    return np.asarray(_log_e(z, mixed) + math.log(2.0) + special.log_ndtr(z * np.sqrt(mixed / (mixed + 1.0))))

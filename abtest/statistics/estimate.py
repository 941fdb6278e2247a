"""What one arm says about a metric: its value, how sure it is, and how far its interval reaches."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from abtest.statistics.moments import Array, Moments

# a variance below this many roundings of the value is what subtraction leaves of a constant
ROUNDING = 4 * np.finfo(np.float64).eps


@dataclass(frozen=True, eq=False, kw_only=True)
class Estimate:
    """A metric in one arm: its value, the squared standard error of the value, and the units behind it; all (...)."""

    value: Array
    variance: Array
    n: NDArray[np.int64]


@dataclass(frozen=True, eq=False, kw_only=True)
class Reach:
    """How far an arm's interval goes below and above its value: distances >= 0, all (...).

    Distances and not limits: at a mean of 1e9 a limit has already lost the digits of the interval.
    """

    below: Array
    above: Array


def ratio_of_means(moments: Moments) -> Estimate:
    """mean(numerator) / mean(denominator) with the delta method's variance; without a denominator, the mean.

    Per unit (var M - 2 R cov(M, D) + R^2 var D) / mean(D)^2, over n (Deng, Knoblich and Lu 2018).
    """
    n = moments.n
    top, bottom = moments.of_column("numerator"), moments.of_column("denominator")
    of_top, of_bottom = moments.product("numerator", "numerator"), moments.product("denominator", "denominator")
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.where(bottom != 0, top / bottom, np.nan)
        scale = of_top + value**2 * of_bottom
        left = scale - 2.0 * value * moments.product("numerator", "denominator")
        left = np.where(left > ROUNDING * scale, left, 0.0)
        spread = left / (n - 1) / bottom**2
        spread = np.where(spread > (ROUNDING * value) ** 2, spread, np.where(np.isnan(spread), np.nan, 0.0))
        variance = np.where(n > 1, spread / n, np.nan)
    return Estimate(value=value, variance=variance, n=n)


def symmetric(estimate: Estimate, critical: Array) -> Reach:
    """The reach of value +- critical standard errors."""
    distance = critical * np.sqrt(estimate.variance)
    return Reach(below=distance, above=distance)

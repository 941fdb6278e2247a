"""Group-sequential boundaries by alpha spending: how far a score must be at each planned look, and what looking costs.

Lan and DeMets (1983): a function says how much of alpha may be spent by each share of the planned information. Looks
need not be evenly spaced nor known beforehand, only their timing must not follow the results. A two-sided test spends
half of alpha on each side.
"""

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, special

from abtest.statistics.crossing import Crossing, Walk, boundary_for, check_fractions, crossing
from abtest.statistics.moments import Array

Spending = Callable[[Array, float], Array]
"""(fractions of the planned information, alpha of one side) -> alpha spent so far."""
Sides = Literal[1, 2]
DEFAULT = "obrien_fleming"


def obrien_fleming(fraction: Array, alpha: float) -> Array:
    """Next to nothing early, almost all at the end: the final look loses little power."""
    return np.asarray(2.0 * special.ndtr(special.ndtri(alpha / 2.0) / np.sqrt(fraction)))


def pocock(fraction: Array, alpha: float) -> Array:
    """About the same critical value at every look: stops early when effects are large."""
    return np.asarray(alpha * np.log1p(np.expm1(1.0) * fraction))


def kim_demets(rho: float) -> Spending:
    """The power family alpha * t**rho (Kim and DeMets 1987): 1 near Pocock, 3 near O'Brien and Fleming."""
    if not rho > 0:
        raise ValueError(f"rho must be > 0, got {rho}; 1 spends evenly, 3 spends late")

    def spent(fraction: Array, alpha: float) -> Array:
        return np.asarray(alpha * np.asarray(fraction) ** rho)

    return spent


SPENDING: dict[str, Spending] = {
    "obrien_fleming": obrien_fleming,
    "pocock": pocock,
    "kim_demets_1": kim_demets(1.0),
    "kim_demets_2": kim_demets(2.0),
    "kim_demets_3": kim_demets(3.0),
}


def boundaries(
    fractions: ArrayLike,
    alpha: float = 0.05,
    spending: str | Spending = DEFAULT,
    sides: Sides = 2,
    *,
    ended: bool = False,
) -> Array:
    """How many standard errors from 0 the estimate must be at each look, (k,); inf where nothing is spent yet.

    A last look beyond the plan, or one at which the experiment `ended` short of it, spends all that is left.

    >>> boundaries([0.2, 0.4, 0.6, 0.8, 1.0]).round(4).tolist()
    [4.8769, 3.357, 2.6803, 2.2898, 2.031]
    """
    looks, total = check_fractions(fractions), alpha_spent(fractions, alpha, spending, sides)
    if ended:
        total[-1] = alpha
    spent = np.diff(total, prepend=0.0)
    walk, found = Walk.start(), np.empty(len(looks))
    for k, fraction in enumerate(looks):
        found[k] = boundary_for(walk, fraction, float(spent[k]), sides)
        low = -found[k] if sides == 2 else -np.inf
        walk = walk.inside(fraction, low, found[k], looks[min(k + 1, len(looks) - 1)])
    return found


def alpha_spent(
    fractions: ArrayLike, alpha: float = 0.05, spending: str | Spending = DEFAULT, sides: Sides = 2
) -> Array:
    """How much of alpha, over all sides, is spent by each look (k,)."""
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha must lie strictly between 0 and 1, got {alpha}")
    if sides not in (1, 2):
        raise ValueError(f"sides must be 1 or 2, got {sides}")
    return np.asarray(sides * spending_named(spending)(np.minimum(check_fractions(fractions), 1.0), alpha / sides))


def nominal_p(bounds: ArrayLike, sides: Sides = 2) -> Array:
    """The fixed test's p-value at each boundary (k,): what an analyst would have to see at that look."""
    return np.asarray(sides * special.ndtr(-np.asarray(bounds, dtype=np.float64)))


def power(fractions: ArrayLike, bounds: ArrayLike, drift: float, sides: Sides = 2) -> float:
    """The chance to be beyond a boundary at some look; drift: the mean of the score at the planned sample."""
    return float(_crossing(fractions, bounds, drift, sides).total.sum())


def drift_for(fractions: ArrayLike, bounds: ArrayLike, wanted: float = 0.8, sides: Sides = 2) -> float:
    """The drift that is found with the wanted power."""
    if not 0.0 < wanted < 1.0:
        raise ValueError(f"power must lie strictly between 0 and 1, got {wanted}")
    return float(optimize.brentq(lambda drift: power(fractions, bounds, drift, sides) - wanted, 0.0, 30.0, xtol=1e-10))


def inflation(
    fractions: ArrayLike,
    alpha: float = 0.05,
    wanted: float = 0.8,
    spending: str | Spending = DEFAULT,
    sides: Sides = 2,
) -> float:
    """How many times a fixed test's sample must be planned, at most, so that peeking costs no power.

    >>> round(inflation([0.2, 0.4, 0.6, 0.8, 1.0]), 3)
    1.025
    """
    fixed = boundaries([1.0], alpha, spending, sides)
    planned = drift_for(fractions, boundaries(fractions, alpha, spending, sides), wanted, sides)
    return (planned / drift_for([1.0], fixed, wanted, sides)) ** 2


def expected_share(fractions: ArrayLike, bounds: ArrayLike, drift: float, sides: Sides = 2) -> float:
    """The share of the planned sample that is used on average when the experiment stops at the first crossing."""
    looks = check_fractions(fractions)
    stop = _crossing(looks, bounds, drift, sides).total
    return float(stop[:-1] @ looks[:-1] + (1.0 - stop[:-1].sum()) * looks[-1])


def spending_named(spending: str | Spending) -> Spending:
    """The spending function of a name; a function is returned as it is."""
    if not isinstance(spending, str):
        return spending
    if spending not in SPENDING:
        raise LookupError(f"unknown spending {spending!r}; known: {', '.join(SPENDING)}")
    return SPENDING[spending]


def classical(looks: int, alpha: float = 0.05, shape: float = 0.5) -> float:
    """The constant C of evenly spaced boundaries C * (k/K) ** (shape - 1/2) (Wang and Tsiatis 1987), two-sided.

    shape 0 is O'Brien and Fleming's (1979), 1/2 is Pocock's (1977): not spending functions, the looks are fixed.

    >>> round(classical(5, shape=0.0), 3), round(classical(5, shape=0.5), 3)
    (2.04, 2.413)
    """
    fractions = np.arange(1, looks + 1) / looks

    def excess(constant: float) -> float:
        bounds = constant * fractions ** (shape - 0.5)
        return math.log(_crossing(fractions, bounds, 0.0, 2).total.sum() / alpha)

    return float(optimize.brentq(excess, 0.5, 10.0, xtol=1e-10))


def _crossing(fractions: ArrayLike, bounds: ArrayLike, drift: float, sides: Sides) -> Crossing:
    upper = np.asarray(bounds, dtype=np.float64)
    return crossing(fractions, upper, -upper if sides == 2 else None, drift)

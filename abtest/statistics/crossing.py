"""When a walk of normal scores first leaves its boundaries: the exact law, by recursive integration.

Armitage, McPherson and Rowe (1969); Jennison and Turnbull (2000, chapter 19). The scores Z_1 ... Z_K of one growing
sample have means drift * sqrt(t_k) and correlations sqrt(t_j / t_k), t being the share of the planned information. The
density of the walks that have not left yet is kept on Gauss-Legendre nodes, as many as the next step is fine.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special

from abtest.statistics.moments import Array

FAR = 8.0  # standard errors beyond which a density is nothing: 6e-16 of it
PANEL, POINTS = 3.0, 12  # a panel of 3 kernel widths and its nodes: an error of about 1e-12
CLOSEST = 1e-4  # of the plan between two looks; closer ones would need a grid of tens of thousands of nodes
LEAST = 1e-300  # a probability below this is not spent: its boundary is infinite


@dataclass(frozen=True, eq=False, kw_only=True)
class Crossing:
    """P(first beyond the upper boundary at look k) and P(first beyond the lower one at look k), both (k,)."""

    upper: Array
    lower: Array

    @property
    def total(self) -> Array:
        """P(first beyond either boundary at look k), (k,)."""
        return self.upper + self.lower


@dataclass(frozen=True, eq=False, kw_only=True)
class Walk:
    """The walks still inside at information `fraction`: mass (n,) on scores `nodes` (n,), under `drift`."""

    fraction: float
    nodes: Array
    mass: Array
    drift: float

    @classmethod
    def start(cls, drift: float = 0.0) -> "Walk":
        """Before the first look: one point without information."""
        return cls(fraction=0.0, nodes=np.zeros(1), mass=np.ones(1), drift=drift)

    def ahead(self, fraction: float) -> tuple[Array, float]:
        """Mean (n,) of the score at a later fraction given each node, and its standard deviation."""
        share = self.fraction / fraction
        push = self.drift * (fraction - self.fraction) / np.sqrt(fraction)
        return self.nodes * np.sqrt(share) + push, float(np.sqrt(1.0 - share))

    def above(self, fraction: float, score: ArrayLike) -> Array:
        """P(inside until now, score at `fraction` above `score`), for scores (...)."""
        mean, sd = self.ahead(fraction)
        return np.asarray(special.ndtr((mean - np.asarray(score)[..., None]) / sd) @ self.mass)

    def below(self, fraction: float, score: ArrayLike) -> Array:
        """P(inside until now, score at `fraction` below `score`), for scores (...)."""
        mean, sd = self.ahead(fraction)
        return np.asarray(special.ndtr((np.asarray(score)[..., None] - mean) / sd) @ self.mass)

    def inside(self, fraction: float, low: float, high: float, following: float) -> "Walk":
        """The walks that are between low and high at `fraction`; following: the fraction of the look after it."""
        mean, sd = self.ahead(fraction)
        centre = self.drift * np.sqrt(fraction)
        # the narrower of what was drawn (this density) and what it will be drawn through (the next kernel)
        width = min(sd, float(np.sqrt((following - fraction) / fraction))) if following > fraction else sd
        nodes, weights = _nodes(max(low, centre - FAR), min(high, centre + FAR), width)
        density = np.exp(-0.5 * ((nodes[:, None] - mean) / sd) ** 2) @ self.mass
        return Walk(
            fraction=fraction, nodes=nodes, mass=weights * density / (sd * np.sqrt(2.0 * np.pi)), drift=self.drift
        )


def crossing(fractions: ArrayLike, upper: ArrayLike, lower: ArrayLike | None = None, drift: float = 0.0) -> Crossing:
    """The law of the first look beyond a boundary; lower None: there is no lower boundary.

    drift: the mean of the score at fraction 1.
    """
    looks = check_fractions(fractions)
    high = np.broadcast_to(np.asarray(upper, dtype=np.float64), looks.shape)
    low = np.broadcast_to(-np.inf if lower is None else np.asarray(lower, dtype=np.float64), looks.shape)
    walk, left = Walk.start(drift), np.empty((2, len(looks)))
    for k, fraction in enumerate(looks):
        left[:, k] = walk.above(fraction, high[k]), walk.below(fraction, low[k])
        walk = walk.inside(fraction, low[k], high[k], looks[min(k + 1, len(looks) - 1)])
    return Crossing(upper=left[0], lower=left[1])


def boundary_for(walk: Walk, fraction: float, probability: float, sides: int) -> float:
    """The score that the walks pass at `fraction` with just this probability; with two sides, in absolute value."""
    if probability < LEAST:
        return np.inf

    def excess(score: float) -> float:
        passed = walk.above(fraction, score) + (walk.below(fraction, -score) if sides == 2 else 0.0)
        # in logarithms, so that a millionth and a tenth are found to the same digits
        return math.log(max(float(passed), LEAST / 1e5)) - math.log(probability)

    low, high = (0.0, 40.0) if sides == 2 else (-FAR, 40.0)
    if excess(low) <= 0.0:
        return low  # fewer walks are left than may be stopped
    return float(optimize.brentq(excess, low, high, xtol=1e-12, rtol=1e-13))


def check_fractions(fractions: ArrayLike) -> Array:
    """Return the information fractions (k,) if they rise from above 0 to about 1; only the last may be beyond."""
    looks = np.atleast_1d(np.asarray(fractions, dtype=np.float64))
    steps = np.diff(looks, prepend=0.0)
    if looks.ndim != 1 or len(looks) == 0 or not (steps > 0).all() or not np.isfinite(looks).all():
        raise ValueError(f"fractions must rise from above 0, got {np.asarray(fractions).tolist()}")
    if len(looks) > 1 and looks[-2] >= 1.0:
        raise ValueError(f"all is spent once the plan is reached: one look at or beyond 1, got {looks[-2:].tolist()}")
    if (steps[1:] < CLOSEST * (1.0 - 1e-9)).any():
        raise ValueError(f"looks must be {CLOSEST:g} of the plan apart, got two that are {steps[1:].min():.2g} apart")
    return looks


def _nodes(low: float, high: float, width: float) -> tuple[Array, Array]:
    """Gauss-Legendre nodes and weights on [low, high], in panels of a few widths."""
    if not high > low:
        return np.zeros(1), np.zeros(1)
    panels = int(np.ceil((high - low) / (PANEL * width)))
    points, weights = _legendre()
    half = (high - low) / panels / 2.0
    centres = low + half * (2.0 * np.arange(panels) + 1.0)
    return (centres[:, None] + half * points).ravel(), np.tile(half * weights, panels)


@lru_cache(maxsize=1)
def _legendre() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    points, weights = np.polynomial.legendre.leggauss(POINTS)
    return points, weights

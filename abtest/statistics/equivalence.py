"""Good enough instead of different: non-inferiority (not worse by more than a margin) and equivalence (TOST).

Both are read from an effect's interval, so they fit every method: at the interval's own level they agree with it, and
the p-values of a difference in means are those of the t test. A margin is relative (0.02 = 2% of the control) or
absolute; a relative one is held against the lift's interval, which knows that the control is an estimate too.
"""

from dataclasses import dataclass
from math import inf
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

from abtest.statistics.effect import Effects, Words
from abtest.statistics.moments import Array
from abtest.types import Direction

Scale = Literal["relative", "absolute"]
SYMMETRIC = 1e-9  # relative difference of two reaches that is rounding


@dataclass(frozen=True, eq=False, kw_only=True)
class Held:
    """Whether effects (...) stay within a margin: the p-values of "they do not", and what `alpha` says to them.

    shown: p_value < alpha; NaN p-values show nothing, and `reason` says why. low, high: the bounds held against the
    margin, on its scale; the far one of non-inferiority is infinite.
    """

    p_value: Array
    shown: NDArray[np.bool_]
    low: Array
    high: Array
    margin: float
    scale: Scale
    alpha: float
    reason: Words


def non_inferiority(
    effects: Effects,
    margin: float,
    *,
    direction: Direction = "increase",
    scale: Scale = "relative",
    alpha: float = 0.025,
) -> Held:
    """One-sided: treatment is not worse than control by `margin` or more.

    direction: in which the metric is good. alpha 0.025 is the usual strictness: one side of a 95% interval.
    """
    side = _side(effects, _check(margin, alpha), scale, direction)
    bound = _bound(side, alpha)
    return Held(
        p_value=side.p_value,
        shown=side.p_value < alpha,
        low=bound if direction == "increase" else np.full(bound.shape, -inf),
        high=-bound if direction == "decrease" else np.full(bound.shape, inf),
        margin=margin,
        scale=scale,
        alpha=alpha,
        reason=side.reason,
    )


def equivalence(effects: Effects, margin: float, *, scale: Scale = "relative", alpha: float = 0.05) -> Held:
    """Two one-sided tests: the difference is smaller than `margin` either way (Schuirmann 1987).

    Its interval has the level 1 - 2 alpha, 90% for the usual 0.05.
    """
    _check(margin, alpha)
    below, above = (_side(effects, margin, scale, direction) for direction in ("increase", "decrease"))
    p_value = np.maximum(below.p_value, above.p_value)
    return Held(
        p_value=p_value,
        shown=p_value < alpha,
        low=_bound(below, alpha),
        high=-_bound(above, alpha),
        margin=margin,
        scale=scale,
        alpha=alpha,
        reason=below.reason,
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class _Side:
    """One side of the effects, turned so that better is more: estimate, the error towards worse, the test's p-value."""

    estimate: Array
    error: Array
    freedom: Array
    p_value: Array
    reason: Words


def _side(effects: Effects, margin: float, scale: Scale, direction: Direction) -> _Side:
    critical, freedom = _critical(effects)
    low, value, high = (
        (effects.low, effects.absolute, effects.high)
        if scale == "absolute"
        else (effects.relative_low, effects.relative, effects.relative_high)
    )
    estimate, towards_worse = (value, value - low) if direction == "increase" else (-value, high - value)
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.where(np.isfinite(towards_worse), towards_worse, np.nan) / critical
        p_value = special.stdtr(freedom, -(estimate + margin) / error)
    reason = np.where(np.isnan(p_value), effects.reason, "")
    return _Side(estimate=estimate, error=error, freedom=freedom, p_value=p_value, reason=reason)


def _bound(side: _Side, alpha: float) -> Array:
    return np.asarray(side.estimate - special.stdtrit(side.freedom, 1.0 - alpha) * side.error)


def _critical(effects: Effects) -> tuple[Array, Array]:
    """How many standard errors the intervals reach, and the t distribution's degrees of freedom that this tells.

    An interval that is not symmetric (Newcombe's, order statistics) comes from the normal distribution.
    """
    z = float(special.ndtri((1.0 + effects.level) / 2.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        reach = (effects.high - effects.low) / (2.0 * effects.se)
        lean = np.abs((effects.high - effects.absolute) / (effects.absolute - effects.low) - 1.0)
        symmetric = (lean < SYMMETRIC) & (reach > z * (1.0 + SYMMETRIC))
        freedom = special.stdtridf((1.0 + effects.level) / 2.0, np.where(symmetric, reach, 2.0 * z))
    return np.where(symmetric, reach, z), np.where(symmetric, freedom, inf)


def _check(margin: float, alpha: float) -> float:
    if not 0.0 < margin < inf:
        raise ValueError(f"margin must be > 0 and finite, got {margin}; 0.02 tolerates a loss of 2%")
    if not 0.0 < alpha < 0.5:
        raise ValueError(f"alpha must lie strictly between 0 and 0.5, got {alpha}; 0.025 is usual")
    return margin

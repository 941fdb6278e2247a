"""The relative lift and its interval: Fieller's where the arms' own intervals are symmetric.

The delta method's interval misses skewed metrics and small baselines (92.5% instead of 95% on zero-inflated revenue
with 10,000 units per arm); Fieller's holds, at the price of having no end when the baseline may be zero.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from abtest.statistics.estimate import Estimate, Reach
from abtest.statistics.moments import Array

UNBOUNDED = "the control cannot be told from 0, so the relative interval has no end"
NO_BASELINE = "the control is 0, so there is no relative lift"


def lift(
    control: Estimate, treatment: Estimate, of_control: Reach, of_treatment: Reach, correlation: ArrayLike = 0.0
) -> tuple[Array, Array, Array, NDArray[np.str_]]:
    """(treatment - control) / |control|, the ends of its interval, and in words what is wrong with them.

    A lift is positive when treatment is larger, also where the control is negative. correlation: of the arms' values.
    """
    # a negative baseline is the mirror image: turn both arms round, then turn the lift back
    mirrored = control.value < 0
    sign = np.where(mirrored, -1.0, 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = (treatment.value - control.value) / np.abs(control.value)
        low, high = ratio_interval(
            sign * treatment.value,
            sign * control.value,
            _turned(of_treatment, mirrored),
            _turned(of_control, mirrored),
            correlation,
        )
    low, high = np.where(mirrored, 1.0 - high, low - 1.0), np.where(mirrored, 1.0 - low, high - 1.0)
    zero = control.value == 0
    relative, low, high = (np.where(zero, np.nan, values) for values in (relative, low, high))
    return relative, low, high, np.select([zero, np.isinf(high)], [NO_BASELINE, UNBOUNDED], default="")


def ratio_interval(
    top: Array, bottom: Array, of_top: Reach, of_bottom: Reach, correlation: ArrayLike = 0.0
) -> tuple[Array, Array]:
    """The interval of top / bottom for bottom > 0 (Donner and Zou 2012); (-inf, inf) where bottom may be 0.

    Written in the distances to each arm's ends, so that nothing large is subtracted from its like.
    """
    # in units of the baseline: fourth powers of values of 1e-100 would be 0
    endless, top = of_bottom.below >= bottom, top / bottom
    of_top, of_bottom = (Reach(below=reach.below / bottom, above=reach.above / bottom) for reach in (of_top, of_bottom))
    middle_low, root_low = _roots(top, of_top.below, of_bottom.above, correlation)
    middle_high, root_high = _roots(top, of_top.above, of_bottom.below, correlation)
    # multiplied out by its conjugate where it can be: no pole where a rate's interval is longer above than its value
    low = np.where(
        middle_low > 0,
        (top - of_top.below) * (top + of_top.below) / (middle_low + root_low),
        (middle_low - root_low) / ((1.0 - of_bottom.above) * (1.0 + of_bottom.above)),
    )
    low = np.where((top == 0) & (of_top.below == 0), 0.0, low)
    high = (middle_high + root_high) / ((1.0 - of_bottom.below) * (1.0 + of_bottom.below))
    return np.where(endless, -np.inf, low), np.where(endless, np.inf, high)


def _roots(ratio: Array, of_top: Array, of_bottom: Array, correlation: ArrayLike) -> tuple[Array, Array]:
    """The two parts of Fieller's quadratic: the middle, and the root of what is left when the square is completed."""
    shared = np.asarray(correlation) * of_top * of_bottom
    left = (ratio * of_bottom) ** 2 + (1.0 - of_bottom**2) * of_top**2 - shared * (2.0 * ratio - shared)
    return ratio - shared, np.sqrt(np.maximum(left, 0.0))


def _turned(reach: Reach, mirrored: NDArray[np.bool_]) -> Reach:
    return Reach(below=np.where(mirrored, reach.above, reach.below), above=np.where(mirrored, reach.below, reach.above))

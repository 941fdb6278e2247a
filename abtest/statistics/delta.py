"""Ratios of sums by the delta method: the estimate is linear in each unit's numerator less R times its denominator."""

from abtest.statistics.effect import Effects
from abtest.statistics.estimate import ratio_of_means
from abtest.statistics.moments import Moments
from abtest.statistics.welch import compare
from abtest.types import Effect

METHOD = "delta method"


def effect(control: Moments, treatment: Moments, level: float) -> Effect:
    """The effect on sum(numerator) / sum(denominator); units, not events, are what was randomised and what varies."""
    return effects(control, treatment, level).single()


def effects(control: Moments, treatment: Moments, level: float) -> Effects:
    """`effect` over the leading axes of the moments."""
    return compare(ratio_of_means(control), ratio_of_means(treatment), level, METHOD)

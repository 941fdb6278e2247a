"""Guardrails: is a metric shown to lose less than its margin?"""

import math
from collections.abc import Sequence
from dataclasses import replace

from abtest.statistics import equivalence
from abtest.statistics.effect import Effects
from abtest.types import Comparison


def with_margins(comparisons: Sequence[Comparison], level: float) -> tuple[Comparison, ...]:
    """The comparisons, those of guardrails with a margin with the p-value of losing the margin or more."""
    return tuple(_with_margin(comparison, level) for comparison in comparisons)


def _with_margin(comparison: Comparison, level: float) -> Comparison:
    metric = comparison.metric
    if metric.role != "guardrail" or metric.margin == 0:
        return comparison
    alpha = (1.0 - level) / 2.0  # one side of the interval that is shown
    held = equivalence.non_inferiority(
        Effects.of([comparison.effect]), metric.margin, direction=metric.direction, alpha=alpha
    )
    p_value = float(held.p_value[0])
    return comparison if math.isnan(p_value) else replace(comparison, non_inferiority_p=p_value)

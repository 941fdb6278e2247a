"""How a comparison reads: a sign and a word, never a colour alone."""

import math
from typing import Literal, get_args

from abtest.analysis import words
from abtest.analysis.decide import guard
from abtest.types import Comparison, Metric

Reading = Literal["better", "worse", "cannot tell"]
READINGS: tuple[Reading, ...] = get_args(Reading)
SIGNS: dict[Reading, str] = {"better": "▲", "worse": "▼", "cannot tell": "●"}
GUARDS = {"holds": "✓ holds", "broken": "✕ broken", "open": "○ open"}


def reading(comparison: Comparison) -> Reading:
    """Whether the metric got better, got worse, or the data cannot tell; corrected where the plan says so."""
    if not is_clear(comparison):
        return "cannot tell"
    return "better" if words.is_better(comparison) else "worse"


def is_clear(comparison: Comparison) -> bool:
    """Whether the difference is beyond chance, over all questions that were asked together."""
    p_value = comparison.effect.p_value if comparison.adjusted_p is None else comparison.adjusted_p
    return p_value < 1.0 - comparison.effect.level


def reading_words(comparison: Comparison) -> str:
    """Sign and word; for a guardrail, whether its margin holds; where nothing was computed, why."""
    if not is_computed(comparison):
        return f"not computed: {comparison.effect.reason or 'no reason was given'}"
    if comparison.metric.role == "guardrail":
        return f"{GUARDS[guard(comparison)]} (margin {words.percent(comparison.metric.margin)})"
    return f"{SIGNS[reading(comparison)]} {reading(comparison)}"


def harmful_bound(metric: Metric) -> float | None:
    """The relative change at which a guardrail breaks: -margin, or +margin when less is better."""
    if metric.role != "guardrail":
        return None
    return -metric.margin if metric.direction == "increase" else metric.margin


def is_computed(comparison: Comparison) -> bool:
    """Whether there is an effect to show at all."""
    return math.isfinite(comparison.effect.absolute)

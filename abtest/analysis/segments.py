"""Effects by segment: do they differ, and how far to believe each."""

import math
from collections.abc import Sequence
from dataclasses import replace

from abtest.analysis.corrections import adjust
from abtest.analysis.found import Found
from abtest.statistics.effect import Effects
from abtest.statistics.heterogeneity import interaction, shrunk
from abtest.types import AnalysisPlan, Comparison, Interaction

MOST = 30  # segments of one attribute that are shown; the others are too small to say anything


def largest_segments(found: Found) -> tuple[Found, list[str]]:
    """What was found with the largest segments of every attribute only, and sentences on what was hidden."""
    said, segments, counts = [], {}, {}
    for name, values in found.segments.items():
        units = {value: sum(found.counts[name][value].values()) for value in values}
        kept = set(sorted(values, key=lambda value: (-units[value], value))[:MOST])
        segments[name] = {value: moments for value, moments in values.items() if value in kept}
        counts[name] = {value: arms for value, arms in found.counts[name].items() if value in kept}
        if len(values) > MOST:
            said.append(f"{name} has {len(values):,} values; the {MOST} largest are shown.")
    return replace(found, segments=segments, counts=counts), said


def differences(comparisons: Sequence[Comparison], plan: AnalysisPlan) -> tuple[Interaction, ...]:
    """Per metric, treatment and attribute, whether its segments share one effect: Cochran's Q, corrected over all."""
    found = {key: interaction(Effects.of([c.effect for c in group])) for key, group in _groups(comparisons).items()}
    p_values = adjust([test.p_value for test in found.values()], plan)
    return tuple(
        Interaction(metric=metric, variant=variant, segment=segment, p_value=p_value, reason=test.reason)
        for ((metric, variant, segment), test), p_value in zip(found.items(), p_values, strict=True)
    )


def drawn_together(comparisons: Sequence[Comparison]) -> tuple[Comparison, ...]:
    """The comparisons with each segment's lift drawn towards the common one by as much as its own noise deserves."""
    drawn: dict[int, float] = {}
    for group in _groups(comparisons).values():
        effects = Effects.of([comparison.effect for comparison in group])
        lifts = shrunk(effects, effects.level).relative.tolist()
        drawn |= {id(comparison): lift for comparison, lift in zip(group, lifts, strict=True)}
    return tuple(
        comparison if math.isnan(drawn[id(comparison)]) else replace(comparison, shrunken=drawn[id(comparison)])
        for comparison in comparisons
    )


def _groups(comparisons: Sequence[Comparison]) -> dict[tuple[str, str, str], list[Comparison]]:
    groups: dict[tuple[str, str, str], list[Comparison]] = {}
    for comparison in comparisons:
        assert comparison.segment is not None, "only comparisons by segment come here"
        key = comparison.metric.name, comparison.variant, comparison.segment.name
        groups.setdefault(key, []).append(comparison)
    return groups

"""Many questions at once: the plan's correction over its family, of p-values and of the intervals that go with them."""

import math
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import replace

import numpy as np

from abtest.analysis.compare import AtLevel, of
from abtest.analysis.reduction import ByVariant
from abtest.statistics import dunnett, multiple
from abtest.statistics.estimate import Estimate, ratio_of_means
from abtest.types import AnalysisPlan, Comparison, Experiment, Role

ASKED: tuple[Role, ...] = ("primary", "secondary")
"""Guardrails are asked about their margin, one by one, and diagnostics about nothing: neither belongs to the family."""
NAMES: dict[str, multiple.Correction] = {
    "none": "none",
    "holm": "holm",
    "hochberg": "hochberg",
    "bh": "benjamini_hochberg",
    "by": "benjamini_yekutieli",
    "dunnett": "bonferroni",  # over what Dunnett does not join: several metrics, several segments
}
WORDS = {
    "none": "not corrected",
    "holm": "Holm",
    "hochberg": "Hochberg",
    "bh": "Benjamini-Hochberg",
    "by": "Benjamini-Yekutieli",
    "dunnett": "Dunnett",
}


def correct(
    made: Sequence[tuple[Comparison, AtLevel]], experiment: Experiment, moments: ByVariant, level: float
) -> tuple[Comparison, ...]:
    """The comparisons with the p-value and interval that hold for all questions of the family together."""
    plan = experiment.analysis
    asked = [i for i, (comparison, _) in enumerate(made) if comparison.metric.role in ASKED]
    if plan.correction == "none" or not asked:
        return tuple(comparison for comparison, _ in made)
    p_values = [made[i][0].effect.p_value for i in asked]
    families: list[Hashable] = [family_of(made[i][0], plan) for i in asked]
    levels = multiple.interval_levels(p_values, NAMES[plan.correction], level, families)
    if plan.correction == "dunnett":
        p_values = _over_arms([made[i][0] for i in asked], experiment, moments)
        families = [(made[i][0].variant, *family_of(made[i][0], plan)) for i in asked]
    adjusted = multiple.adjust(p_values, NAMES[plan.correction], families)
    found = [comparison for comparison, _ in made]
    for place, p_value, wide in zip(asked, adjusted.tolist(), levels.tolist(), strict=True):
        if math.isnan(p_value):
            continue
        effect = made[place][0].effect if wide == level else made[place][1](wide)
        ends = effect.ci if math.isnan(effect.relative_ci[0]) else effect.relative_ci
        found[place] = replace(found[place], adjusted_p=p_value, adjusted_ci=ends)
    return tuple(found)


def family_of(comparison: Comparison, plan: AnalysisPlan) -> tuple[str, ...]:
    """What a comparison is asked together with: it is alone in what the plan's family does not name."""
    apart = {"metrics": comparison.metric.name, "arms": comparison.variant}
    if comparison.segment is not None:
        apart["segments"] = f"{comparison.segment.name}={comparison.segment.value}"
    return tuple(name for question, name in apart.items() if question not in plan.family)


def adjust(p_values: Sequence[float], plan: AnalysisPlan) -> list[float]:
    """The plan's correction of p-values that are one family; Dunnett's needs the estimates, so here it is Holm's."""
    method = "holm" if plan.correction == "dunnett" else NAMES[plan.correction]
    return [float(p) for p in multiple.adjust(np.asarray(p_values, dtype=np.float64), method)]


def _over_arms(found: Sequence[Comparison], experiment: Experiment, moments: ByVariant) -> list[float]:
    """p-values that hold for all arms of a metric together: Dunnett's; Holm's where the arms have no common estimate.

    An arm's CUPED estimate depends on which arm it is compared with; a quantile's and a segment's are not kept.
    """
    by_metric: dict[tuple[str, Hashable], list[int]] = defaultdict(list)
    for place, comparison in enumerate(found):
        by_metric[comparison.metric.name, comparison.segment].append(place)
    p_values = [comparison.effect.p_value for comparison in found]
    for places in by_metric.values():
        first = found[places[0]]
        if first.metric.kind == "quantile" or first.segment is not None or first.variance_saved is not None:
            joint = multiple.holm([p_values[place] for place in places])
        else:
            control, *arms = [ratio_of_means(of(moments, first.metric, v.name)) for v in experiment.variants]
            joint = dunnett.compare(control, _stacked(arms), 0.95).p_value.tolist()
        for place, p_value in zip(places, joint, strict=True):
            p_values[place] = p_value
    return p_values


def _stacked(estimates: Sequence[Estimate]) -> Estimate:
    return Estimate(
        value=np.stack([estimate.value for estimate in estimates], axis=-1),
        variance=np.stack([estimate.variance for estimate in estimates], axis=-1),
        n=np.stack([estimate.n for estimate in estimates], axis=-1),
    )

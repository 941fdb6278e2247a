"""One metric of two arms to a comparison: the metric's own method, its covariate, what was asked for besides."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np
from scipy import special

from abtest.analysis.found import Found
from abtest.analysis.measures import roles
from abtest.analysis.quantiles import ByPair
from abtest.analysis.reduction import ByVariant, empty
from abtest.statistics import METHODS, bayes, cuped, poststratification, quantile, welch
from abtest.statistics.effect import Effects, Method
from abtest.statistics.moments import Moments
from abtest.types import AnalysisPlan, Comparison, Effect, Experiment, Metric, Posterior, Segment
from bakeoff.catalogue import lookup

SAME_AS = {"retention": "proportion"}
"""Kinds that are tested as another one is."""
AtLevel = Callable[[float], Effect]
"""The same effect with intervals of any level."""


def compare_all(experiment: Experiment, found: Found, level: float) -> list[tuple[Comparison, AtLevel]]:
    """Every metric of every treatment against the control, and each effect at any other level."""
    strata = found.segments.get(experiment.analysis.stratify or "", {})
    return [
        compared(metric, variant.name, found.reduced.moments, found.located, experiment, level, strata)
        for metric in found.metrics
        for variant in experiment.variants[1:]
    ]


def compare_segments(experiment: Experiment, found: Found, level: float) -> list[tuple[Comparison, AtLevel]]:
    """The same for the units of every segment; quantiles are not computed by segment."""
    made = []
    for name, values in found.segments.items():
        for metric in found.metrics:
            if metric.kind == "quantile":
                continue
            for variant in experiment.variants[1:]:
                for value, moments in values.items():
                    comparison, at = compared(metric, variant.name, moments, {}, experiment, level)
                    made.append((replace(comparison, segment=Segment(name=name, value=value)), at))
    return made


def compared(
    metric: Metric,
    variant: str,
    moments: ByVariant,
    located: ByPair,
    experiment: Experiment,
    level: float,
    strata: Mapping[str, ByVariant] = MappingProxyType({}),
) -> tuple[Comparison, AtLevel]:
    """One comparison with what the plan asks of it, and its effect at any other level; strata: their Moments."""
    control = experiment.variants[0].name
    if metric.kind == "quantile":
        effect = quantile.compare(*located[metric.name, variant], level, float(metric.quantile or 0.5)).single()
        made = Comparison(metric=metric, variant=variant, effect=effect)
        return _with_posterior(made, experiment.analysis), lambda other: _stretched(effect, other)
    arms = of(moments, metric, control), of(moments, metric, variant)
    plain: Method = lookup(METHODS, SAME_AS.get(metric.kind, metric.kind), "method")
    if "covariate" not in roles(metric) and strata:
        return _stratified(metric, variant, plain(*arms, level), strata, experiment, level)
    if "covariate" not in roles(metric):
        made = Comparison(metric=metric, variant=variant, effect=plain(*arms, level))
        return _with_posterior(made, experiment.analysis), lambda other: plain(*arms, other)
    adjusted = cuped.adjusted(*arms)  # once: it does not depend on the level
    made = Comparison(
        metric=metric,
        variant=variant,
        effect=_of_adjusted(adjusted, level),
        unadjusted=plain(*arms, level),
        variance_saved=float(adjusted.saved),
    )
    return _with_posterior(made, experiment.analysis), lambda other: _of_adjusted(adjusted, other)


def _stratified(
    metric: Metric,
    variant: str,
    unadjusted: Effect,
    strata: Mapping[str, ByVariant],
    experiment: Experiment,
    level: float,
) -> tuple[Comparison, AtLevel]:
    arms = [
        _stacked([of(found, metric, name) for found in strata.values()])
        for name in (experiment.variants[0].name, variant)
    ]
    effect = poststratification.effect(arms[0], arms[1], level)
    saved = 1.0 - (effect.se / unadjusted.se) ** 2 if unadjusted.se > 0 else math.nan
    made = Comparison(metric=metric, variant=variant, effect=effect, unadjusted=unadjusted, variance_saved=saved)
    return _with_posterior(made, experiment.analysis), lambda other: poststratification.effect(arms[0], arms[1], other)


def _stacked(strata: Sequence[Moments]) -> Moments:
    """The strata along a leading axis."""
    return Moments(
        strata[0].columns,
        np.stack([stratum.n for stratum in strata]),
        np.stack([stratum.mean for stratum in strata]),
        np.stack([stratum.comoment for stratum in strata]),
    )


def _of_adjusted(arms: cuped.Adjusted, level: float) -> Effect:
    return welch.compare(
        arms.control, arms.treatment, level, arms.method(), covariance=arms.covariance, freedom=arms.freedom
    ).single()


def of(moments: ByVariant, metric: Metric, variant: str) -> Moments:
    """The Moments of a metric in an arm; of no units, where it has none."""
    return moments.get((metric.name, variant)) or empty(metric)


def _with_posterior(comparison: Comparison, plan: AnalysisPlan) -> Comparison:
    if not plan.bayesian:
        return comparison
    effect = comparison.effect
    prior = bayes.FLAT if plan.prior_sd is None else bayes.Prior(mean=plan.prior_mean, sd=plan.prior_sd)
    found = bayes.normal(Effects.of([effect]), effect.level, prior).single()
    size = abs(effect.control) or np.nan
    up = comparison.metric.direction == "increase"
    posterior = Posterior(
        chance_to_win=found.chance_to_win if up else 1.0 - found.chance_to_win,
        # what is lost by shipping where it is worse, and by keeping where it would have been better
        risk_treatment=(found.expected_loss if up else found.loss_of_keeping) / size,
        risk_control=(found.loss_of_keeping if up else found.expected_loss) / size,
        relative=found.relative,
        relative_ci=found.relative_ci,
        prior=found.method,
        reason=found.reason,
    )
    return replace(comparison, posterior=posterior)


def _stretched(effect: Effect, level: float) -> Effect:
    """A quantile's effect at a level that its order statistics were not asked for: stretched as normal ends are."""
    by = float(special.ndtri((1.0 - level) / 2.0) / special.ndtri((1.0 - effect.level) / 2.0))

    def ends(value: float, interval: tuple[float, float]) -> tuple[float, float]:
        return value - by * (value - interval[0]), value + by * (interval[1] - value)

    return replace(
        effect, level=level, ci=ends(effect.absolute, effect.ci), relative_ci=ends(effect.relative, effect.relative_ci)
    )


def rows(made: Sequence[tuple[Comparison, AtLevel]]) -> tuple[Comparison, ...]:
    """The comparisons alone."""
    return tuple(comparison for comparison, _ in made)

"""Effects that may be looked at before the end: confidence sequences, or the looks of an alpha-spending plan."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime

import numpy as np
from numpy.typing import NDArray
from scipy import special

from abtest.analysis.compare import of
from abtest.analysis.found import Found
from abtest.analysis.measures import roles
from abtest.statistics import cuped, group_sequential, sequential, spending
from abtest.statistics.effect import Effects
from abtest.statistics.estimate import Estimate, ratio_of_means
from abtest.statistics.moments import Array, Moments
from abtest.statistics.quantile import Located
from abtest.types import Comparison, Experiment, Metric

SPENDING = tuple(spending.SPENDING)
"""The plans whose looks spend the error rate; every other one may be read at any time, or only once."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Pair:
    """Two arms' estimates, and the covariance that a common covariate gives them."""

    control: Estimate
    treatment: Estimate
    covariance: Array


def history(experiment: Experiment, found: Found, level: float, as_of: datetime) -> tuple[Comparison, ...]:
    """The cumulative effects by day, or at the planned looks, oldest first for each metric and treatment.

    Metrics whose days do not add up (quantiles, retention) have only the last day, always with a confidence sequence.
    """
    if not found.days:
        return ()
    made: list[Comparison] = []
    for metric in found.metrics:
        for variant in experiment.variants[1:]:
            days, effects = _course(experiment, found, metric, variant.name, level, as_of)
            rows = effects.rows() if effects is not None else []
            made += [
                Comparison(metric=metric, variant=variant.name, effect=effect, day=day)
                for day, effect in zip(days, rows, strict=True)
            ]
    return tuple(made)


def planned_for(experiment: Experiment, treatment: str) -> float:
    """The units planned for the control and one treatment, which their sequence is tuned to."""
    if not experiment.planned_units:
        return sequential.UNPLANNED
    weights = {variant.name: variant.weight for variant in experiment.variants}
    pair = weights[experiment.variants[0].name] + weights[treatment]
    return max(experiment.planned_units * pair / sum(weights.values()), 1.0)


def estimates(metric: Metric, control: Moments, treatment: Moments) -> Pair:
    """The two arms on a metric, with its covariate taken out where it has one."""
    if "covariate" in roles(metric):
        arms = cuped.adjusted(control, treatment)
        return Pair(control=arms.control, treatment=arms.treatment, covariance=arms.covariance)
    pair = ratio_of_means(control), ratio_of_means(treatment)
    return Pair(control=pair[0], treatment=pair[1], covariance=np.zeros(pair[0].value.shape))


def _course(
    experiment: Experiment, found: Found, metric: Metric, variant: str, level: float, as_of: datetime
) -> tuple[Sequence[date], Effects | None]:
    control, plan = experiment.variants[0].name, experiment.analysis
    planned = planned_for(experiment, variant)
    arms = [found.by_day.get((metric.name, name)) for name in (control, variant)]
    if arms[0] is None or arms[1] is None:
        return _last_day(found, metric, control, variant, level, planned)
    if plan.sequential not in SPENDING:
        pair = estimates(metric, arms[0], arms[1])
        effects = sequential.compare(pair.control, pair.treatment, level, planned, covariance=pair.covariance)
        return found.days, effects
    chosen = look_days(arms[0].n + arms[1].n, planned, plan.looks)
    if not len(chosen):
        return [], None
    pair = estimates(metric, _at(arms[0], chosen), _at(arms[1], chosen))
    ended = experiment.ends is not None and as_of >= experiment.ends
    effects = group_sequential.compare(
        pair.control, pair.treatment, level, planned, plan.sequential, ended=ended, covariance=pair.covariance
    )
    return [found.days[i] for i in chosen], effects


def look_days(units: NDArray[np.int64], planned: float, looks: int | None) -> list[int]:
    """The days (k,) of cumulative units that are looks: all that can be, or the first to reach each planned part."""
    possible, _ = group_sequential.looks_of(units, planned)
    if looks is None:
        return [int(day) for day in possible]
    parts = np.arange(1, looks + 1) / looks
    reached = np.searchsorted(units[possible] / planned, parts - 1e-9)
    return sorted({int(possible[place]) for place in reached if place < len(possible)})


def _last_day(
    found: Found, metric: Metric, control: str, variant: str, level: float, planned: float
) -> tuple[Sequence[date], Effects | None]:
    if metric.kind == "quantile":
        arms = [_estimate(arm, level) for arm in found.located[metric.name, variant]]
        pair = Pair(control=arms[0], treatment=arms[1], covariance=np.zeros(()))
    elif (metric.name, control) in found.reduced.moments and (metric.name, variant) in found.reduced.moments:
        moments = found.reduced.moments
        pair = estimates(metric, of(moments, metric, control), of(moments, metric, variant))
    else:
        return [], None
    effects = sequential.compare(pair.control, pair.treatment, level, planned, covariance=pair.covariance)
    return [found.days[-1]], effects


def _estimate(arm: Located, level: float) -> Estimate:
    """A quantile with the standard error that its order statistics show."""
    z = -special.ndtri((1.0 - level) / 2.0)
    return Estimate(value=arm.value, variance=((arm.high - arm.low) / arm.lean / (2.0 * z)) ** 2, n=arm.n)


def _at(moments: Moments, days: Sequence[int]) -> Moments:
    places = np.asarray(days)
    return replace(moments, n=moments.n[places], mean=moments.mean[places], comoment=moments.comoment[places])

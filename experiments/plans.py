"""Plans for the next experiment, from what past ones measured: units, days, power and the smallest lift to find."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from abtest.analysis.readout import moments_of
from abtest.statistics import planning
from abtest.statistics.planning import Baseline, Design
from abtest.statistics.spending import DEFAULT
from abtest.types import Comparison, Metric, Readout, Sample
from experiments.store import Record

POINTS = 60
"""Lifts on a curve: enough to look smooth, few enough to follow a slider."""
COLUMNS = ("numerator", "denominator")


@dataclass(frozen=True, kw_only=True)
class Past:
    """One metric as a past experiment measured it.

    baseline: from the control's units; units: how many these are; variance_saved: what its covariates saved, NaN
    without; arrivals: distinct units over all arms by the end of each day, oldest first, empty where not counted.
    """

    experiment: str
    metric: Metric
    baseline: Baseline
    units: int
    variance_saved: float
    arrivals: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What a design asks for: units over all arms, days until they are in, both NaN or inf where nothing helps."""

    lift: float
    units: float
    days: float


@dataclass(frozen=True, kw_only=True)
class Reach:
    """What some days of traffic can find: their units and the smallest lift with the design's power."""

    days: int
    units: float
    lift: float


def pasts(record: Record, arrivals: Sequence[int]) -> tuple[Past, ...]:
    """The metrics of a past experiment that can be planned from; arrivals: from abtest.analysis.traffic."""
    return of_readout(record.readout, record.definition.metrics, arrivals) if record.readout else ()


def of_readout(readout: Readout, metrics: Sequence[Metric], arrivals: Sequence[int] = ()) -> tuple[Past, ...]:
    """The same of any readout, such as that of a table of units, which has no arrivals."""
    known = {metric.name: metric for metric in metrics}
    found = [
        _past(readout, known[sample.metric], sample, tuple(arrivals))
        for sample in readout.samples
        if sample.variant == readout.control and sample.metric in known and "numerator" in sample.columns
    ]
    found += [
        _of_effect(readout, comparison, tuple(arrivals))
        for comparison in readout.effects
        if comparison.metric.kind == "quantile" and comparison.variant == readout.arms[1].variant
    ]
    return tuple(one for one in found if math.isfinite(one.baseline.variance) and one.baseline.value != 0)


def design(
    *,
    arms: int = 2,
    looks: planning.Looks = "once",
    power: float = 0.8,
    alpha: float = 0.05,
    variance_saved: float = 0.0,
    shares: Sequence[float] = (),
    spending: str = DEFAULT,
    cluster: float = 1.0,
    intraclass: float = 0.0,
    margin: float | None = None,
) -> Design:
    """A test of every treatment against the control, corrected by Dunnett where there are many.

    arms: of equal shares, unless `shares` (control first) are given; the rest as in `Design`.
    """
    if arms < 2:
        raise ValueError(f"a test needs two arms or more, got {arms}")
    total = sum(shares)
    parts = tuple(share / total for share in shares) if total > 0 else (1.0 / arms,) * arms
    return Design(
        alpha=alpha,
        power=power,
        shares=parts,
        comparisons="dunnett" if len(parts) > 2 else "one",
        looks=looks,
        spending=spending,
        variance_saved=variance_saved,
        cluster=cluster,
        intraclass=intraclass,
        margin=margin,
    )


def saving(past: Past, wanted: Design) -> Design:
    """The design with what the metric's covariates saved in the past, where they saved anything."""
    saved = past.variance_saved
    return replace(wanted, variance_saved=saved) if saved > 0 else wanted


def forecast(past: Past, wanted: Design, lift: float, share: float = 1.0) -> Forecast:
    """The units and days that a lift takes; share: of the traffic that takes part."""
    units = planning.units(wanted, past.baseline, lift)
    return Forecast(lift=lift, units=units, days=days_for(past, units, share))


def reach(past: Past, wanted: Design, days: int, share: float = 1.0) -> Reach:
    """The smallest lift that `days` of traffic find with the design's power."""
    units = units_in(past, days, share)
    lift = math.nan if math.isnan(units) else planning.detectable_lift(wanted, past.baseline, units)
    return Reach(days=days, units=units, lift=lift)


def power_curve(past: Past, wanted: Design, units: float, widest: float) -> list[tuple[float, float]]:
    """(lift, power) pairs for lifts from nothing to `widest` with `units` over all arms."""
    lifts = np.linspace(0.0, widest, POINTS)[1:]
    return list(zip(lifts.tolist(), planning.power_curve(wanted, past.baseline, lifts, units).tolist(), strict=True))


def most(past: Past) -> float:
    """The largest lift that makes sense: a proportion ends at 1."""
    return 1.0 / past.baseline.value - 1.0 - 1e-9 if past.baseline.proportion else math.inf


def reach_curve(past: Past, wanted: Design, days: Sequence[int], share: float = 1.0) -> list[Reach]:
    """`reach` for many run times."""
    return [reach(past, wanted, day, share) for day in days]


def days_for(past: Past, units: float, share: float = 1.0) -> float:
    """Days until so many units are in, at the pace of the past experiment; NaN where its days were not counted."""
    if not past.arrivals or math.isnan(units):
        return math.nan
    if math.isinf(units):
        return math.inf
    return planning.days_for(units, [share * n for n in past.arrivals])


def units_in(past: Past, days: int, share: float = 1.0) -> float:
    """Units that come in `days`: as in the past experiment, then on at the pace of its last week."""
    arrivals = np.concatenate([[0.0], share * np.asarray(past.arrivals, dtype=np.float64)])
    known = len(arrivals) - 1
    if known < 1:
        return math.nan
    if days <= known:
        return float(arrivals[days])
    week = min(7, known)
    return float(arrivals[-1] + (days - known) * (arrivals[-1] - arrivals[-1 - week]) / week)


def _past(readout: Readout, metric: Metric, sample: Sample, arrivals: tuple[int, ...]) -> Past:
    moments = moments_of(sample)
    plain = moments.select(*(name for name in COLUMNS if name in moments.columns))
    return Past(
        experiment=readout.experiment,
        metric=metric,
        baseline=Baseline.of(plain, proportion=metric.kind == "proportion"),
        units=sample.units,
        variance_saved=_saved(readout, metric),
        arrivals=arrivals,
    )


def _of_effect(readout: Readout, comparison: Comparison, arrivals: tuple[int, ...]) -> Past:
    """What has no Moments (a quantile) is planned from the standard error that its effect had with so many units."""
    units = {arm.variant: arm.units for arm in readout.arms}
    control, effect = units[readout.control], comparison.effect
    parts = sum(1.0 / max(n, 1) for n in (control, units[comparison.variant]))
    return Past(
        experiment=readout.experiment,
        metric=comparison.metric,
        baseline=Baseline(value=effect.control, variance=effect.se**2 / parts),
        units=control,
        variance_saved=math.nan,
        arrivals=arrivals,
    )


def _saved(readout: Readout, metric: Metric) -> float:
    """The share of variance that this metric's covariates saved in the past experiment, the least over its arms."""
    saved = [c.variance_saved for c in readout.effects if c.metric.name == metric.name and c.variance_saved is not None]
    return min(saved, default=math.nan)

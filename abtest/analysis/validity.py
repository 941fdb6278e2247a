"""May the numbers be read? Is the split as planned at every look and in every part, were the arms alike before, does
one unit make the result, does the effect last. Each check ends in a sentence.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

import ibis.expr.types as ir
import numpy as np
from numpy.typing import NDArray
from scipy import special

from abtest.analysis.entries import Entry
from abtest.analysis.found import Found
from abtest.analysis.health import Log, count
from abtest.analysis.measures import adds_up, column_of, further, roles, without_covariate
from abtest.analysis.reduction import SEVERAL, moments_from, products
from abtest.analysis.units import as_number
from abtest.analysis.words import label, p_words, percent, ratio_sentence
from abtest.statistics import srm, welch
from abtest.statistics.estimate import ratio_of_means
from abtest.statistics.moments import Moments
from abtest.types import Check, Experiment, Metric, SampleRatio

TREND_DAYS = 7.0
TREND_ALPHA = 0.01  # a trend is looked for in every experiment, so the alarm is rarer than a test's
ONE_UNIT = 0.1  # of a metric's spread: above it, one unit decides what the average is
LEAST_UNITS = 1_000  # below which one unit may well be much of the spread


def of_ratio(ratio: SampleRatio) -> Check:
    """The chi-square of the whole sample."""
    return Check(
        name="sample ratio", says=ratio_sentence(ratio), alarm=ratio.alarm, fatal=ratio.alarm, p_value=ratio.p_value
    )


def of_days(experiment: Experiment, entered: Sequence[Entry], alpha: float) -> tuple[Check, ...]:
    """The split at every look and on every day, of the units that saw one variant."""
    clean = [entry for entry in entered if not entry.several]
    if not clean:
        return ()
    days = sorted({entry.day for entry in clean})
    names = [variant.name for variant in experiment.variants]
    table = np.zeros((len(days), len(names)), dtype=np.int64)
    for entry in clean:
        table[days.index(entry.day), names.index(entry.variant)] = entry.units
    return _at_every_look(experiment, days, table, alpha), _by_part(
        experiment, "day", {f"{day:%Y-%m-%d}": units.tolist() for day, units in zip(days, table, strict=True)}, alpha
    )


def of_segments(
    experiment: Experiment, counts: Mapping[str, Mapping[str, Mapping[str, int]]], alpha: float
) -> tuple[Check, ...]:
    """The split within every value of every segment."""
    names = [variant.name for variant in experiment.variants]
    return tuple(
        _by_part(experiment, segment, {v: [arms.get(name, 0) for name in names] for v, arms in values.items()}, alpha)
        for segment, values in counts.items()
    )


def of_covariates(experiment: Experiment, found: Found, alpha: float) -> tuple[Check, ...]:
    """Whether the arms were alike before the experiment: an effect on the past is a carry-over, or a broken split."""
    control = experiment.variants[0].name
    asked = [
        (named, variant.name, _before(found, metric, role, control), _before(found, metric, role, variant.name))
        for metric in found.metrics
        for role, named in _covariates(metric)
        for variant in experiment.variants[1:]
    ]
    p_values = {
        (named, variant): welch.compare(ratio_of_means(one), ratio_of_means(other), 0.95, "").single().p_value
        for named, variant, one, other in asked
    }
    known = {key: p for key, p in p_values.items() if not np.isnan(p)}
    if not known:
        return ()
    (named, variant), p_value = min(known.items(), key=lambda item: item[1])
    p_value = min(p_value * len(known), 1.0)
    alarm = p_value < alpha
    says = (
        f"Before the experiment {variant} already differed from {control} in {named} ({p_words(p_value)}): "
        "an earlier experiment carries over, or the split is broken."
        if alarm
        else f"The arms were alike before the experiment ({p_words(p_value)} over {count(len(known), 'comparison')})."
    )
    return (Check(name="carry-over", says=says, alarm=alarm, fatal=alarm, p_value=p_value),)


def of_extremes(found: Found) -> tuple[Check, ...]:
    """Whether one unit makes much of a metric's spread: a bot, a shop, an error of the log."""
    said = []
    for (name, variant), largest in found.reduced.largest.items():
        moments = found.reduced.moments[name, variant]
        spread = float(moments.comoment[0, 0])
        share = (largest - float(moments.mean[0])) ** 2 / spread if spread > 0 else 0.0
        if int(moments.n) >= LEAST_UNITS and share > ONE_UNIT:
            metric = next(metric for metric in found.metrics if metric.name == name)
            said.append(
                f"One unit of {variant} with {largest:,.6g} makes {share:.0%} of the spread of {label(metric)}: "
                "look whether it is a bot, and cap the metric (cap: 99.9%)."
            )
    if said:
        return tuple(Check(name="extreme units", says=sentence, alarm=True) for sentence in said)
    return (Check(name="extreme units", says="No single unit makes much of a metric's spread."),)


def of_interference(experiment: Experiment) -> tuple[Check, ...]:
    """A reminder of what no test of this log can see."""
    if not experiment.analysis.shared_stock:
        return ()
    says = (
        "The arms share one stock, so what one arm takes the other lacks: the difference may be up to twice the effect "
        "of a change for everybody. Randomise by market or by time to be sure."
    )
    return (Check(name="interference", says=says, alarm=True),)


@dataclass(frozen=True, kw_only=True)
class Trend:
    """A metric in a unit's first days after exposure, and in as many days after those."""

    metric: Metric
    days: float
    parts: tuple[Metric, Metric]


def trends(metrics: Sequence[Metric], log: Log) -> tuple[Trend, ...]:
    """What to look at for novelty and primacy: the primary metrics, over a quarter of the run time, a week at most."""
    if log.first is None or log.last is None:
        return ()
    days = min(TREND_DAYS, float((log.last - log.first) // timedelta(days=4)))
    chosen = [m for m in metrics if m.role == "primary" and adds_up(m) and m.window is None and days >= 1]
    return tuple(
        Trend(metric=metric, days=days, parts=(replace(plain, window=days), replace(plain, day=days, window=days)))
        for metric in chosen
        for plain in [without_covariate(replace(metric, cap=None, cap_quantile=None))]
    )


def of_trends(experiment: Experiment, found: Sequence[Trend], units: ir.Table) -> tuple[Check, ...]:
    """Whether the lift changes as units get used to the treatment; in ratios, so that common decline is no trend."""
    control = experiment.variants[0].name
    said = [
        _trend(trend, variant.name, arms[control], arms[variant.name], len(found))
        for trend in found
        for arms in [_early_and_late(trend, units)]
        for variant in experiment.variants[1:]
        if control in arms and variant.name in arms
    ]
    return tuple(check for check in said if check is not None)


def _at_every_look(experiment: Experiment, days: Sequence[date], table: NDArray[np.int64], alpha: float) -> Check:
    weights = [variant.weight for variant in experiment.variants]
    always = srm.check_always(table.cumsum(axis=0), weights, alpha)
    p_value = float(always.p_values[-1])
    if np.isnan(p_value):
        return Check(name="sample ratio at every look", says="The split at every look cannot be checked.")
    says = (
        f"The split went wrong on {days[always.alarm_at]:%Y-%m-%d} or before: the check that may be read every day "
        f"alarms ({p_words(p_value)}, always valid)."
        if always.alarm
        else f"The split is as planned at every daily look ({p_words(p_value)}, always valid)."
    )
    return Check(name="sample ratio at every look", says=says, alarm=always.alarm, fatal=always.alarm, p_value=p_value)


def _by_part(experiment: Experiment, name: str, units: Mapping[str, Sequence[int]], alpha: float) -> Check:
    """The split within each part, the smallest p-value times the number of parts (Bonferroni)."""
    weights = [variant.weight for variant in experiment.variants]
    ratios = {part: srm.check(arms, weights, alpha) for part, arms in units.items() if sum(arms)}
    known = {part: ratio for part, ratio in ratios.items() if not np.isnan(ratio.p_value)}
    check = f"sample ratio by {name}"
    if not known:
        return Check(name=check, says=f"The split by {name} cannot be checked: too few units in every part.")
    part, worst = min(known.items(), key=lambda item: item[1].p_value)
    p_value = min(worst.p_value * len(known), 1.0)
    alarm = p_value < alpha
    says = (
        f"The split is off where {name} is {part}: an arm by {percent(worst.deviation)} ({p_words(p_value)} over "
        f"{count(len(known), 'part')})."
        if alarm
        else f"The split is as planned by {name} ({p_words(p_value)} over {count(len(known), 'part')})."
    )
    return Check(name=check, says=says, alarm=alarm, p_value=p_value)


def _covariates(metric: Metric) -> list[tuple[str, str]]:
    """The roles of a metric's covariates, each with its name in words."""
    first = [("covariate", label(metric))] if "covariate" in roles(metric) else []
    return first + [(role, name.replace("_", " ")) for role, name in further(metric).items()]


def _before(found: Found, metric: Metric, role: str, variant: str) -> Moments:
    """A covariate's Moments under the names of a metric."""
    moments = found.reduced.moments.get((metric.name, variant))
    names = [("numerator", role), ("denominator", f"{role}_denominator")]
    names = [(name, past) for name, past in names if past in roles(metric)]
    columns = tuple(name for name, _ in names)
    if moments is None:
        return Moments(columns, np.array(0), np.zeros(len(columns)), np.zeros((len(columns),) * 2))
    past = moments.select(*(past for _, past in names))
    return Moments(columns, past.n, past.mean, past.comoment)


def _early_and_late(trend: Trend, units: ir.Table) -> dict[str, Moments]:
    """Per variant the Moments of (early, late) numerators and denominators of the units whose days are over."""
    late = trend.parts[1]
    rows = units.filter(~units[SEVERAL] & units[column_of(late, "numerator")].notnull())
    if trend.metric.kind == "ratio":
        rows = rows.filter(rows[column_of(late, "denominator")].notnull())
    names = tuple(f"{when} {role}" for when in ("early", "late") for role in roles(late))
    columns = [rows[column_of(part, role)].cast("float64") for part in trend.parts for role in roles(late)]
    if trend.metric.kind == "proportion":
        columns = [as_number(column > 0) for column in columns]
    found = rows.group_by("variant").agg(units=rows.count(), **products("trend", columns))
    return {
        row["variant"]: moments_from(row, "trend", names, int(row["units"])) for row in found.to_pyarrow().to_pylist()
    }


def _trend(trend: Trend, variant: str, control: Moments, treatment: Moments, n: int) -> Check | None:
    """The change of the log lift from the early to the late days, by the delta method; None where an arm has none."""
    name, k = f"trend of {label(trend.metric)}", len(control.columns) // 2
    if min(int(control.n), int(treatment.n)) < 2 or min(control.mean.min(), treatment.mean.min()) <= 0:
        return None
    logs, variance = np.zeros(2), 0.0
    signs = np.array([1.0, -1.0][:k])
    for sign, arm in ((-1.0, control), (1.0, treatment)):
        halves = np.log(arm.mean).reshape(2, k) @ signs
        logs += sign * halves
        slope = np.concatenate([-signs, signs]) / arm.mean
        variance += float(slope @ arm.comoment @ slope) / (float(arm.n) * (float(arm.n) - 1.0))
    if not variance > 0:
        return None
    p_value = min(float(2.0 * special.ndtr(-abs(logs[1] - logs[0]) / variance**0.5)) * n, 1.0)
    early, late = (f"{np.expm1(value):+.1%}" for value in logs)
    alarm = p_value < TREND_ALPHA
    says = (
        f"The lift of {variant} in {label(trend.metric)} changes as units get used to it: {early} in their first "
        f"{trend.days:g} days, {late} in the next {trend.days:g} ({p_words(p_value)}). Run longer before you trust it."
        if alarm
        else f"The lift of {variant} in {label(trend.metric)} lasts: {early} in a unit's first {trend.days:g} days, "
        f"{late} in the next {trend.days:g} ({p_words(p_value)})."
    )
    return Check(name=name, says=says, alarm=alarm, p_value=p_value)

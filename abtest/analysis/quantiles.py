"""The quantiles of a table of units or of events, computed by the engine that holds it: three per arm come back."""

from collections.abc import Mapping, Sequence

import ibis.expr.types as ir
import numpy as np

from abtest.analysis.measures import column_of
from abtest.analysis.reduction import SEVERAL, moments_from, products
from abtest.statistics.moments import Array, Moments
from abtest.statistics.quantile import Located, Share, lean, of_counts, of_units, shares
from abtest.types import Metric

ByPair = dict[tuple[str, str], tuple[Located, Located]]
"""(metric, treatment) -> control and treatment, each as far as it must reach in this comparison."""
ENDS = ("value", "low", "high")


def locate(
    metrics: Sequence[Metric], units: ir.Table, counts: Mapping[str, int], variants: Sequence[str], level: float
) -> ByPair:
    """The quantile metrics of every treatment and the control, which is the first of `variants`.

    counts: the units of each, from the reduction; they say how far to reach.
    """
    control, *treatments = variants
    plain = [metric for metric in metrics if metric.kind == "quantile" and metric.per == "unit"]
    pairs = [(metric, variant) for metric in plain for variant in treatments]
    if not pairs:
        return {}
    rows = units.filter(~units[SEVERAL]) if SEVERAL in units.columns else units
    wanted = {}
    for metric, treatment in pairs:
        values, q = rows[column_of(metric, "numerator")].cast("float64"), float(metric.quantile or 0.5)
        arms = [of_units(counts.get(name, 0), q) for name in (control, treatment)]
        for name, places in zip((control, treatment), _places(arms, q, level), strict=True):
            for end, share in places.items():
                key = f"{metric.name} {treatment} {name} {end}"
                wanted[key] = values.quantile(share, where=rows.variant == name)
    found = rows.agg(**wanted).to_pyarrow().to_pylist()[0] if wanted else {}
    return {(metric.name, treatment): _pair(metric, found, control, treatment, counts) for metric, treatment in pairs}


def locate_events(metric: Metric, rows: ir.Table, variants: Sequence[str], level: float) -> ByPair:
    """A quantile of events for every treatment and the control; rows: number, variant and value of each event.

    Events of one unit are alike, so how sure an arm is comes from counts per unit (Deng, Knoblich and Lu 2018): first
    the quantiles, then each unit's events up to them, then the ends that these counts ask for.
    """
    q, control = float(metric.quantile or 0.5), variants[0]
    middle = _by_variant(rows.group_by("variant").agg(value=rows.value.quantile(q)), "value")
    sure = {name: of_counts(counts) for name, counts in _counts(rows, variants, middle).items()}
    pairs = [
        (name, other) for treatment in variants[1:] for name, other in ((control, treatment), (treatment, control))
    ]
    ends = {pair: shares(sure[pair[0]], sure[pair[1]], q, level) for pair in pairs}
    wanted = {
        f"{i} {end}": rows.value.quantile(float(share), where=rows.variant == pair[0])
        for i, pair in enumerate(pairs)
        for end, share in zip(ENDS[1:], ends[pair], strict=True)
        if not np.isnan(share)
    }
    found = rows.agg(**wanted).to_pyarrow().to_pylist()[0] if wanted else {}
    arms = {
        (name, other): Located(
            value=_number(middle.get(name)),
            low=_number(found.get(f"{i} low")),
            high=_number(found.get(f"{i} high")),
            n=sure[name].units,
            lean=lean(sure[name], sure[other]),
        )
        for i, (name, other) in enumerate(pairs)
    }
    return {(metric.name, t): (arms[control, t], arms[t, control]) for t in variants[1:]}


def _counts(rows: ir.Table, variants: Sequence[str], middle: Mapping[str, float]) -> dict[str, Moments]:
    """Per variant the Moments over units of (events up to its quantile, events)."""
    names = ("numerator", "denominator")
    nothing = Moments(names, np.array(0), np.zeros(2), np.zeros((2, 2)))
    if not middle:
        return dict.fromkeys(variants, nothing)
    within = rows.value <= rows.variant.cases(*middle.items(), else_=0.0)
    units = rows.group_by("variant", "number").agg(below=rows.count(where=within), events=rows.count())
    columns = [units.below.cast("float64"), units.events.cast("float64")]
    found = units.group_by("variant").agg(units=units.count(), **products("counts", columns)).to_pyarrow().to_pylist()
    known = {row["variant"]: moments_from(row, "counts", names, int(row["units"])) for row in found}
    return {name: known.get(name, nothing) for name in variants}


def _by_variant(table: ir.Table, column: str) -> dict[str, float]:
    rows = table.to_pyarrow().to_pylist()
    return {row["variant"]: float(row[column]) for row in rows if row[column] is not None}


def _number(value: float | None) -> Array:
    return np.array(np.nan if value is None else value)


def _pair(
    metric: Metric, found: Mapping[str, float | None], control: str, treatment: str, counts: Mapping[str, int]
) -> tuple[Located, Located]:
    q = float(metric.quantile or 0.5)
    arms = [of_units(counts.get(name, 0), q) for name in (control, treatment)]
    made = []
    for name, share, other in ((control, arms[0], arms[1]), (treatment, arms[1], arms[0])):
        ends = [found.get(f"{metric.name} {treatment} {name} {end}") for end in ENDS]
        value, low, high = map(_number, ends)
        made.append(Located(value=value, low=low, high=high, n=share.units, lean=lean(share, other)))
    return made[0], made[1]


def _places(arms: Sequence[Share], q: float, level: float) -> list[dict[str, float]]:
    """The shares of the units to ask each arm for; an end for which there are too few units is not asked for."""
    made = []
    for share, other in ((arms[0], arms[1]), (arms[1], arms[0])):
        low, high = shares(share, other, q, level)
        ends = {"value": q if share.rows > 0 else np.nan, "low": float(low), "high": float(high)}
        made.append({end: place for end, place in ends.items() if not np.isnan(place)})
    return made

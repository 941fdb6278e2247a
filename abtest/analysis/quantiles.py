"""The quantiles of a table of units, computed by the engine that holds it: three per arm of a comparison come back."""

from collections.abc import Mapping, Sequence

import ibis.expr.types as ir
import numpy as np

from abtest.analysis.measures import column_of
from abtest.analysis.reduction import SEVERAL
from abtest.statistics.quantile import Located, Share, lean, of_units, shares
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
    pairs = [(metric, variant) for metric in metrics if metric.kind == "quantile" for variant in treatments]
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


def _pair(
    metric: Metric, found: Mapping[str, float | None], control: str, treatment: str, counts: Mapping[str, int]
) -> tuple[Located, Located]:
    q = float(metric.quantile or 0.5)
    arms = [of_units(counts.get(name, 0), q) for name in (control, treatment)]
    made = []
    for name, share, other in ((control, arms[0], arms[1]), (treatment, arms[1], arms[0])):
        ends = [found.get(f"{metric.name} {treatment} {name} {end}") for end in ENDS]
        value, low, high = (np.array(np.nan if end is None else end) for end in ends)
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

"""The Moments of all data up to the end of each day, from one row per active unit and day."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np
from numpy.typing import NDArray

from abtest.analysis.days import as_date
from abtest.analysis.measures import roles
from abtest.analysis.reduction import ByVariant, value
from abtest.analysis.units import PART
from abtest.statistics.moments import Array, Moments
from abtest.types import Metric


def cumulative(
    metrics: Sequence[Metric], unit_days: ir.Table, units: ir.Table, whole: ByVariant, days: Sequence[date]
) -> ByVariant:
    """The Moments at the end of each of `days` (their one leading axis), from units.per_unit_day.

    units: with their number and variant; whole: the Moments of everything, whose means are the constants that the sums
    are taken around.
    """
    rows = daily_changes(metrics, unit_days, units, whole).to_pyarrow().to_pylist()
    return {
        (metric.name, variant): _summed(
            metric, [row for row in rows if row["variant"] == variant], days, middle(metric, whole)
        )
        for metric in metrics
        for variant in sorted({row["variant"] for row in rows})
    }


def daily_changes(metrics: Sequence[Metric], days: ir.Table, units: ir.Table, centre: ByVariant) -> ir.Table:
    """What each day changes in every variant's sums: variant, day, units, and per metric first and second sums.

    A unit's contribution to a sum is f(its total so far); a row adds f(after) - f(before), and f(after) where the unit
    comes in. So the whole history costs one row per active unit and day, not one scan per day. The sums are taken
    around the final mean of the whole (a constant, never a window join), so that they stay centred.
    """
    earlier = ibis.window(group_by="number", order_by=["day", PART], preceding=(None, 1))
    names = [name for name in days.columns if name not in ("number", "day", PART)]
    before = days.mutate(**{f"before {name}": days[name].sum().over(earlier).fill_null(0.0) for name in names})
    both = before.mutate(**{name: before[name] + before[f"before {name}"] for name in names}, entry=before[PART] == 0)
    both = both.inner_join(units.select("number", "variant"), "number")  # last, as its text makes rows wide
    wanted = {"units": both.count(where=both.entry)}
    for metric in metrics:
        wanted |= _changes(metric, both, middle(metric, centre))
    return both.group_by("variant", "day").agg(**wanted)


def middle(metric: Metric, centre: ByVariant) -> Array:
    """A constant near the metric's means in all variants, to take sums around."""
    means = [found.mean for (name, _), found in centre.items() if name == metric.name and found.n > 0]
    return np.nan_to_num(np.mean(means, axis=0)) if means else np.zeros(len(roles(metric)))


def _changes(metric: Metric, both: ir.Table, around: Array) -> dict[str, ir.NumericScalar]:
    earlier = {name.removeprefix("before "): both[name] for name in both.columns if name.startswith("before ")}
    now = [value(metric, role, both) - float(c) for role, c in zip(roles(metric), around, strict=True)]
    then = [value(metric, role, earlier) - float(c) for role, c in zip(roles(metric), around, strict=True)]
    # where a unit comes in the whole of `now` is new
    then = [both.entry.ifelse(0.0, found) for found in then]
    changes = {}
    for i in range(len(now)):
        changes[f"{metric.name} sum {i}"] = (now[i] - then[i]).sum()
        for j in range(i + 1):
            changes[f"{metric.name} product {j}{i}"] = (now[i] * now[j] - then[i] * then[j]).sum()
    return changes


def _summed(metric: Metric, rows: Sequence[Mapping[str, Any]], days: Sequence[date], around: Array) -> Moments:
    """The running totals of one variant's changes, filled over the days on which nothing happened."""
    p, place = len(roles(metric)), {day: i for i, day in enumerate(days)}
    n, sums, products = np.zeros(len(days), np.int64), np.zeros((len(days), p)), np.zeros((len(days), p, p))
    for row in rows:
        d = place[as_date(row["day"])]
        n[d] = row["units"]
        for i in range(p):
            sums[d, i] = row[f"{metric.name} sum {i}"]
            for j in range(i + 1):
                products[d, i, j] = products[d, j, i] = row[f"{metric.name} product {j}{i}"]
    return _around(roles(metric), n.cumsum(), sums.cumsum(axis=0), products.cumsum(axis=0), around)


def _around(columns: tuple[str, ...], n: NDArray[np.int64], sums: Array, products: Array, around: Array) -> Moments:
    share = sums / np.maximum(n, 1)[:, None]
    comoment = products - n[:, None, None] * share[:, :, None] * share[:, None, :]
    diagonal = np.arange(len(columns))
    # what rounding leaves of a variance of 0
    comoment[:, diagonal, diagonal] = np.maximum(comoment[:, diagonal, diagonal], 0.0)
    return Moments(columns, n, np.where(n[:, None] > 0, around + share, 0.0), comoment)

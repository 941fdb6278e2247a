"""From units to Moments, in the engine that holds them: one pass, one row per variant (and segment) comes back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np

from abtest.analysis.measures import ATTRIBUTE, SEGMENT, column_of, roles, waits
from abtest.analysis.units import as_number
from abtest.statistics.moments import Moments
from abtest.types import Metric

ByVariant = dict[tuple[str, str], Moments]
"""(metric, variant) -> Moments with the columns of `measures.roles`: "numerator", "denominator", "covariate"..."""
BySegment = dict[str, ByVariant]
"""value of an attribute -> the Moments of its units."""

SEVERAL = "several"


@dataclass(frozen=True, kw_only=True)
class Reduced:
    """A table of units, reduced: per variant the clean units, their slates and Moments; overall what was left out.

    several: units that saw more than one variant; faults: units that must not be there; holes: units of which a
    covariate is not known; waiting: (metric, variant) -> units whose days are not over; largest: (metric, variant) ->
    the largest numerator of a unit.
    """

    units: Mapping[str, int]
    slates: Mapping[str, int]
    moments: ByVariant
    several: int = 0
    faults: int = 0
    holes: int = 0
    waiting: Mapping[tuple[str, str], int] = field(default_factory=dict)
    largest: Mapping[tuple[str, str], float] = field(default_factory=dict)


def reduce(metrics: Sequence[Metric], units: ir.Table, faulty: ir.BooleanValue | None = None) -> Reduced:
    """Run the one query over a table of `abtest.analysis.units.per_unit`'s shape; quantiles are not reduced so."""
    metrics = [metric for metric in metrics if metric.kind != "quantile"]
    keys = [name for name in ("variant", SEVERAL) if name in units.columns]
    counts = {name: units[name].sum() for name in ("slates",) if name in units.columns}
    unknown = [units[name].isnull() for name in units.columns if name.startswith(ATTRIBUTE)]
    # one number for both, and a sum, as a filtered count is what engines do slowest; which of them, is asked later
    odd = [*unknown, *([] if faulty is None else [faulty])]
    if odd:
        counts["odd"] = ibis.or_(*odd).cast("int32").sum()
    table = units.group_by(*keys).agg(units=units.count(), **counts, **aggregates(metrics, units, largest=True))
    rows = sorted(table.to_pyarrow().to_pylist(), key=lambda row: [str(row[key]) for key in keys])
    clean = [row for row in rows if not row.get(SEVERAL)]
    pairs = [(metric, row) for row in clean for metric in metrics]
    return Reduced(
        units={row["variant"]: int(row["units"]) for row in clean},
        slates={row["variant"]: int(row.get("slates") or 0) for row in clean},
        moments={(metric.name, row["variant"]): moments_of(metric, row) for metric, row in pairs},
        several=sum(int(row["units"]) for row in rows if row.get(SEVERAL)),
        **(_told_apart(units, unknown, faulty) if any(row.get("odd") for row in rows) else {}),
        waiting={(m.name, row["variant"]): int(row["units"]) - _units(m, row) for m, row in pairs if waits(m)},
        largest={
            (m.name, row["variant"]): _number(row[f"{m.name} largest"])
            for m, row in pairs
            if f"{m.name} largest" in row
        },
    )


def _told_apart(units: ir.Table, unknown: Sequence[ir.BooleanColumn], faulty: ir.BooleanValue | None) -> dict[str, int]:
    """How many units must not be there, and of how many a covariate is not known."""
    wanted = {"holes": units.count(where=ibis.or_(*unknown))} if unknown else {}
    wanted |= {} if faulty is None else {"faults": units.count(where=faulty)}
    (row,) = units.agg(**wanted).to_pyarrow().to_pylist()
    return {name: int(n) for name, n in row.items()}


def reduce_by(metrics: Sequence[Metric], units: ir.Table, segment: str) -> tuple[BySegment, dict[str, dict[str, int]]]:
    """The Moments of the clean units by value of a segment, and the units per value and variant; unknown is "?"."""
    metrics = [metric for metric in metrics if metric.kind != "quantile"]
    rows = units.filter(~units[SEVERAL]) if SEVERAL in units.columns else units
    rows = rows.mutate(segment=rows[f"{SEGMENT}{segment}"].fill_null("?"))
    table = rows.group_by("variant", "segment").agg(units=rows.count(), **aggregates(metrics, rows))
    found: BySegment = {}
    counts: dict[str, dict[str, int]] = {}
    for row in table.order_by("segment", "variant").to_pyarrow().to_pylist():
        counts.setdefault(row["segment"], {})[row["variant"]] = int(row["units"])
        found.setdefault(row["segment"], {}).update(
            {(metric.name, row["variant"]): moments_of(metric, row) for metric in metrics}
        )
    return found, counts


def value(metric: Metric, role: str, table: Mapping[str, ir.NumericColumn]) -> ir.NumericColumn:
    """What one unit brings to a metric: its measure, capped, or 1 if it has any; a covariate as the numerator is."""
    name = column_of(metric, role)
    measure = table[name].cast("float64")
    if role.endswith("denominator") or name.startswith(ATTRIBUTE):
        return measure
    if metric.kind in ("proportion", "retention"):
        return as_number(measure > 0)
    # asked for by comparison, as least(NULL, cap) is the cap in some engines
    return measure if metric.cap is None else (measure > float(metric.cap)).ifelse(float(metric.cap), measure)


def aggregates(metrics: Sequence[Metric], table: ir.Table, *, largest: bool = False) -> dict[str, ir.NumericScalar]:
    """Means, variances and covariances of the metrics, each in the engine's own centred one-pass form.

    largest: also the largest numerator of every mean and ratio.
    """
    wanted: dict[str, ir.NumericScalar] = {}
    for metric in metrics:
        columns = [value(metric, role, table) for role in roles(metric)]
        wanted |= products(metric.name, columns)
        if waits(metric):
            wanted[f"{metric.name} units"] = columns[0].count()
        if largest and metric.kind in ("mean", "ratio"):
            wanted[f"{metric.name} largest"] = columns[0].max()
    return wanted


def products(name: str, columns: Sequence[ir.NumericColumn]) -> dict[str, ir.NumericScalar]:
    """The means of some columns, and their variances and covariances, under a name; `moments_from` reads them back."""
    wanted: dict[str, ir.NumericScalar] = {}
    for i, one in enumerate(columns):
        wanted[f"{name} mean {i}"] = one.mean()
        for j, other in enumerate(columns[: i + 1]):
            wanted[f"{name} product {j}{i}"] = one.var(how="pop") if i == j else one.cov(other, how="pop")
    return wanted


def moments_from(row: Mapping[str, Any], name: str, columns: tuple[str, ...], n: int) -> Moments:
    """The Moments of n units from a row of `products`."""
    p = len(columns)
    if n == 0:
        return Moments(columns, np.array(0), np.zeros(p), np.zeros((p, p)))
    mean = [_number(row[f"{name} mean {i}"]) for i in range(p)]
    spread = [[_number(row[f"{name} product {min(i, j)}{max(i, j)}"]) for j in range(p)] for i in range(p)]
    return Moments(columns, np.array(n), np.array(mean), n * np.array(spread))


def empty(metric: Metric) -> Moments:
    """The Moments of no units at all."""
    p = len(roles(metric))
    return Moments(roles(metric), np.array(0), np.zeros(p), np.zeros((p, p)))


def moments_of(metric: Metric, row: Mapping[str, Any]) -> Moments:
    """The Moments of a metric from a row of `aggregates`."""
    return moments_from(row, metric.name, roles(metric), _units(metric, row))


def caps(metrics: Sequence[Metric], units: ir.Table) -> dict[str, float]:
    """The value to cap at of every metric that names a quantile, over the clean units of all variants together."""
    capped = [metric for metric in metrics if metric.cap_quantile is not None]
    if not capped:
        return {}
    rows = units.filter(~units[SEVERAL]) if SEVERAL in units.columns else units
    found = rows.agg(
        **{m.name: rows[column_of(m, "numerator")].cast("float64").quantile(m.cap_quantile) for m in capped}
    )
    (row,) = found.to_pyarrow().to_pylist()
    return {name: _number(cap) for name, cap in row.items() if cap is not None}


def fill_attributes(units: ir.Table) -> tuple[ir.Table, dict[str, int]]:
    """The units with the mean for every covariate that is not known, and how many of each were not known.

    The mean of all variants together moves no effect, as it is not known by variant: it only saves less variance.
    """
    names = [name for name in units.columns if name.startswith(ATTRIBUTE)]
    if not names:
        return units, {}
    (row,) = (
        units.agg(
            **{f"{name} mean": units[name].mean() for name in names},
            **{f"{name} holes": units.count(where=units[name].isnull()) for name in names},
        )
        .to_pyarrow()
        .to_pylist()
    )
    holes = {name: int(row[f"{name} holes"]) for name in names if row[f"{name} holes"]}
    filled = {name: units[name].fill_null(_number(row[f"{name} mean"] or 0.0)) for name in holes}
    return (units.mutate(**filled) if filled else units), {n.removeprefix(ATTRIBUTE): k for n, k in holes.items()}


def _units(metric: Metric, row: Mapping[str, Any]) -> int:
    return int(row[f"{metric.name} units"] if waits(metric) else row["units"])


def _number(found: float | None) -> float:
    return float("nan") if found is None else float(found)

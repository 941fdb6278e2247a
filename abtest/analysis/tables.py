"""A table with one row per unit, of an experiment that was run anywhere: checked, and brought to the shape of ours."""

from collections.abc import Sequence

import ibis.expr.types as ir

from abtest.analysis.engine import Source, check_columns, opened
from abtest.analysis.measures import ATTRIBUTE, SEGMENT, attributes, column, needs
from abtest.analysis.units import number
from abtest.types import Metric

MOST = 100  # variants of one experiment


def named(table: ir.Table, variant: str) -> ir.Table:
    """The table with its column of variants under our name, as text."""
    if variant not in table.columns:
        raise ValueError(
            f"units lacks the column {variant}, which names the variant; it has {', '.join(table.columns)}"
        )
    return table.mutate(variant=table[variant].cast("string"))


def variants_of(source: Source, variant: str) -> tuple[str, ...]:
    """The variants that a table of units names, in alphabetical order; at most a hundred, else it is another column."""
    with opened({"units": source}) as (table,):
        found = (
            named(table, variant).select("variant").distinct().order_by("variant").limit(MOST).to_pyarrow()["variant"]
        )
    names = [name for name in found.to_pylist() if name is not None]
    if len(names) == MOST:
        raise ValueError(f"units: column {variant} has {MOST} values or more; name the column that holds the variant")
    return tuple(names)


def check_metrics(metrics: Sequence[Metric]) -> None:
    """Refuse metrics that need times, which a table of units has not."""
    for metric in metrics:
        timed = [name for name in ("window", "day", "covariate_days") if getattr(metric, name) is not None]
        timed += (["where"] if metric.where else []) + (["per"] if metric.per == "event" else [])
        if timed:
            raise ValueError(
                f"metric {metric.name}: {timed[0]} needs events with times, and the table has one row per unit; "
                "compute the column first and name it as numerator or covariate"
            )


def check_columns_of(table: ir.Table, metrics: Sequence[Metric], segments: Sequence[str]) -> None:
    """Refuse a table that lacks what the metrics need."""
    numbers = dict.fromkeys([*(measure.name for measure in needs(metrics)), *attributes(metrics)], "number")
    check_columns(table, "units", {"variant": "text", **numbers})
    check_columns(table, "units", dict.fromkeys(segments, "any"))


def as_units(table: ir.Table, metrics: Sequence[Metric], segments: Sequence[str]) -> ir.Table:
    """The table in the shape of `abtest.analysis.units.per_unit`; its other columns are never read."""
    return table.select(
        "variant",
        **{column(measure.name): number(table[measure.name]) for measure in needs(metrics)},
        **{f"{ATTRIBUTE}{name}": number(table[name]) for name in attributes(metrics)},
        **{f"{SEGMENT}{name}": table[name].cast("string") for name in segments},
    )


def faulty(units: ir.Table, metrics: Sequence[Metric]) -> ir.BooleanValue | None:
    """Which rows must not be there: a measure is missing, or a count is negative; for the one pass."""
    found = [fault for _, _, fault in _faults(units, metrics)]
    return None if not found else _either(found)


def refuse(units: ir.Table, metrics: Sequence[Metric]) -> None:
    """Say which column is at fault, and in how many rows."""
    faults = _faults(units, metrics)
    counts = units.agg(**{str(i): units.count(where=fault) for i, (_, _, fault) in enumerate(faults)})
    (row,) = counts.to_pyarrow().to_pylist()
    for i, (name, words, _) in enumerate(faults):
        if row[str(i)]:
            raise ValueError(f"units: {name} {words.format(rows=f'{row[str(i)]:,} rows')}")


def _faults(units: ir.Table, metrics: Sequence[Metric]) -> list[tuple[str, str, ir.BooleanColumn]]:
    names = list(dict.fromkeys(measure.name for measure in needs(metrics)))
    found = [(name, "is missing or NaN in {rows}; fill them with 0 or drop them", _hole(units, name)) for name in names]
    counted = [metric.numerator for metric in metrics if metric.kind == "proportion"]
    counted += [metric.denominator for metric in metrics if metric.denominator is not None]
    words = "is below 0 in {rows}; a count, or what a ratio is taken of, cannot be"
    return found + [(name, words, units[column(name)] < 0) for name in dict.fromkeys(counted)]


def _hole(units: ir.Table, name: str) -> ir.BooleanColumn:
    return units[column(name)].isnull()


def _either(conditions: Sequence[ir.BooleanColumn]) -> ir.BooleanValue:
    first, *others = conditions
    for other in others:
        first = first | other
    return first

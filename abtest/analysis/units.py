"""From events to units: one row per exposed unit (and day) with the measures that the metrics need.

Expressions only: nothing runs here. A unit counts from its first exposure on, and only if it saw one variant. Events
meet units once: a unit's long name is looked up to find its short number, and all grouping is by the number.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import ibis
import ibis.expr.types as ir

from abtest.analysis.days import day_of
from abtest.analysis.engine import a_number
from abtest.analysis.measures import ATTRIBUTE, SEGMENT, Measure
from abtest.analysis.metrics import CONTEXT

TEXT, BARE, NUMBER = '"([^"]*)"', '([^",{} ]+)', "(-?[0-9]+[.]?[0-9]*(?:[eE][-+]?[0-9]+)?)"
LARGEST = 1.7976931348623157e308  # of a float; infinity and NaN are above it
KIND = "kind number"  # beside the kind itself, which a metric may filter by
PART = "part"  # of the log: 0 what a unit came in with, 1 slates, 2 outcomes


@dataclass(frozen=True, kw_only=True)
class Scope:
    """Which events belong: of the experiment's variants, from starts, before ends, and not after as_of."""

    experiment: str
    variants: tuple[str, ...]
    as_of: datetime
    starts: datetime | None = None
    ends: datetime | None = None

    def within(self, at: ir.TimestampColumn, before: float = 0.0) -> ir.BooleanColumn:
        """Whether a time belongs, or lies in the days `before` the start."""
        inside = at <= self.as_of if self.ends is None or self.ends > self.as_of else at < self.ends
        if self.starts is not None:
            inside &= at >= self.starts - timedelta(seconds=_seconds(before))
        return inside

    def since(self, first: datetime | None) -> "Scope":
        """The same events for a query of units, the first of which was exposed at `first`: what came before tells
        nothing of them, and engines skip it unread."""
        return self if first is None else replace(self, starts=first)


def relevant_exposures(exposures: ir.Table, scope: Scope) -> ir.Table:
    """The exposures that belong."""
    known = _place(exposures.variant, scope.variants) >= 0
    return exposures.filter((exposures.experiment == scope.experiment) & known & scope.within(exposures["at"]))


def measured(rows: ir.Table, wanted: Sequence[Measure], scope: Scope) -> ir.BooleanColumn:
    """Which outcomes the metrics could see: of the measured kinds, of the period and the days that covariates need."""
    return (_place(rows.kind, _kinds(wanted)) >= 0) & scope.within(rows["at"], _past(wanted))


def _kinds(wanted: Sequence[Measure]) -> list[str]:
    return list(dict.fromkeys(measure.kind for measure in wanted if not measure.of_exposures))


def _place(names: ir.StringColumn, among: Sequence[str]) -> ir.IntegerColumn:
    """The place of a name in a list, -1 where it is not there: text is compared once, and all that follows is of
    numbers."""
    return names.cases(*((name, i) for i, name in enumerate(among)), else_=-1)


def readable(rows: ir.Table, wanted: Sequence[Measure]) -> ir.BooleanValue:
    """Whether an outcome's value is a finite number, where values are summed at all; NULL where there is none. Engines
    put NaN above infinity."""
    if not any(measure.sums_values for measure in wanted):
        return ibis.literal(True)
    return rows.value.cast("float64").between(-LARGEST, LARGEST)


def first_exposures(
    exposures: ir.Table, wanted: Sequence[Measure], scope: Scope, segments: Sequence[str] = ()
) -> ir.Table:
    """One row per exposed unit: unit, number, variant, several (variants were seen), first, slates; with the measures
    of slates that need no window, and the segments that the first slate's context names."""
    rows = relevant_exposures(exposures, scope)
    simple = [measure for measure in wanted if measure.of_exposures and measure.from_the_start]
    arm = _place(rows.variant, scope.variants)
    grouped = rows.group_by("unit").agg(
        arm=arm.min(),
        several=arm.min() != arm.max(),
        first=rows["at"].min(),
        slates=rows.count(),
        **{measure.column: _total(rows, measure) for measure in simple if measure.name != "distinct_items"},
        **{f"{SEGMENT}{name}": _context(rows, name).argmin(rows["at"]) for name in segments if _in_context(name)},
    )
    variant = grouped.arm.cases(*enumerate(scope.variants), else_="")
    number = a_number(grouped).cast("int32")  # half as wide as an engine's own, which grouping feels
    return grouped.select(*(name for name in grouped.columns if name != "arm"), variant=variant, number=number)


def with_attributes(
    units: ir.Table, attributes: ir.Table, covariates: Sequence[str], segments: Sequence[str]
) -> ir.Table:
    """The units with attributes of their own: covariates as numbers, segments as text; NULL where one is not known."""
    known = attributes.select(
        "unit",
        **{f"{ATTRIBUTE}{name}": number(attributes[name]) for name in covariates},
        **{f"{SEGMENT}{name}": attributes[name].cast("string") for name in segments},
    )
    return units.left_join(known, "unit").drop("unit_right")


def as_number(values: ir.Column) -> ir.FloatingColumn:
    """A column as floats; truth values by way of integers, which is the only one in some engines."""
    return (values.cast("int32") if values.type().is_boolean() else values).cast("float64")


def number(values: ir.Column) -> ir.FloatingColumn:
    """A column as floats; NaN and infinity are NULL, for engines order and add them each in their own way."""
    found = as_number(values)
    return (
        found.between(-LARGEST, LARGEST).ifelse(found, ibis.null("float64")) if values.type().is_floating() else found
    )


def per_unit(
    exposures: ir.Table, outcomes: ir.Table, wanted: Sequence[Measure], scope: Scope, units: ir.Table
) -> ir.Table:
    """The units with a column per measure; units: from `first_exposures`."""
    table = units
    of_outcomes = [measure for measure in wanted if not measure.of_exposures]
    if of_outcomes:
        table = _joined(table, _outcomes_by_unit(outcomes, of_outcomes, scope, units))
    windowed = [measure for measure in wanted if measure.of_exposures and not measure.from_the_start]
    windowed = [measure for measure in windowed if measure.name != "distinct_items"]
    if windowed:
        rows = _traced(relevant_exposures(exposures, scope).drop("variant"), units, "number", "first")
        table = _joined(table, rows.group_by("number").agg(**{m.column: _total(rows, m) for m in windowed}))
    for measure in wanted:
        if measure.name == "distinct_items":
            table = _joined(table, _distinct(exposures, measure, scope, units))
    late = {measure.column: measure for measure in wanted if measure.start > 0}
    if not late:
        return table
    over = {name: table["first"] + _days(measure.end or 0.0) <= scope.as_of for name, measure in late.items()}
    return table.mutate(**{name: over[name].ifelse(table[name], ibis.null("float64")) for name in late})


def values_of(outcomes: ir.Table, measure: Measure, scope: Scope, units: ir.Table) -> ir.Table:
    """One row per outcome that the measure sums: number, variant, value; of units that saw one variant."""
    rows = _of_units(outcomes, [measure], scope, units, "number", "first", "variant", "several")
    rows = rows.filter(_counted(rows, measure, [measure]), ~rows.several)
    return rows.select("number", "variant", value=rows.value.cast("float64"))


def per_unit_day(
    exposures: ir.Table, outcomes: ir.Table, wanted: Sequence[Measure], scope: Scope, units: ir.Table
) -> ir.Table:
    """One row per unit, day and PART of the log in which something happened: number, day, and what that added.

    The first row of a unit, of part 0, is its first exposure, with what was known of it by then. Units that saw several
    variants are left out of every day, so that the last day agrees with the whole. units: from `per_unit`.
    """
    units = units.filter(~units.several)
    past = [measure.column for measure in wanted if measure.of_the_past]
    past += [name for name in units.columns if name.startswith(ATTRIBUTE)]
    names = [*dict.fromkeys([*(measure.column for measure in wanted), *past])]
    zeros = dict.fromkeys(names, ibis.literal(0.0))
    entry = {name: units[name].cast("float64") for name in past}
    parts = [units.select("number", day=day_of(units["first"]), **_part(0), **(zeros | entry))]
    for part, table, chosen in (
        (1, relevant_exposures(exposures, scope).drop("variant"), [m for m in wanted if m.of_exposures]),
        (2, outcomes, [m for m in wanted if not m.of_exposures and not m.of_the_past]),
    ):
        if chosen:
            whose, slates = ("number", "first"), chosen[0].of_exposures
            rows = _traced(table, units, *whose) if slates else _of_units(table, chosen, scope, units, *whose)
            totals = {measure.column: _total(rows, measure, chosen).cast("float64") for measure in chosen}
            found = rows.group_by("number", day=day_of(rows["at"])).agg(**totals)
            added = zeros | {name: found[name] for name in totals}
            parts.append(found.select("number", "day", **_part(part), **added))
    return ibis.union(*parts) if len(parts) > 1 else parts[0]


def _part(number: int) -> dict[str, ir.IntegerScalar]:
    return {PART: ibis.literal(number, type="int8")}


def counted(outcomes: ir.Table, wanted: Sequence[Measure], scope: Scope, units: ir.Table) -> ir.Table:
    """One row about the measured outcomes of any unit: total, readable, the time of the last; and of the readable ones
    matched, those of exposed units, and early, those of clean units that came too early to count."""
    rows = outcomes.filter(measured(outcomes, wanted, scope))
    rows = rows.left_join(units.select("unit", "first", "several"), "unit")
    good = readable(rows, wanted)
    matched = good & rows["first"].notnull()
    early = matched & ~rows.several & ~_in_time(rows["at"], rows["first"], wanted)
    wheres = {"readable": good, "matched": matched, "early": early}
    counts = {name: rows.count(where=where) for name, where in wheres.items()}
    return rows.agg(total=rows.count(), last=rows["at"].max(), **counts)


def _outcomes_by_unit(outcomes: ir.Table, wanted: Sequence[Measure], scope: Scope, units: ir.Table) -> ir.Table:
    rows = _of_units(outcomes, wanted, scope, units, "number", "first")
    totals = {measure.column: _total(rows, measure, wanted, in_time=_past(wanted) == 0) for measure in wanted}
    return rows.group_by("number").agg(**totals)


def _of_units(outcomes: ir.Table, wanted: Sequence[Measure], scope: Scope, units: ir.Table, *columns: str) -> ir.Table:
    """The measured outcomes of exposed units that are in time, with their KIND and these columns of their unit."""
    rows = outcomes.filter(measured(outcomes, wanted, scope), readable(outcomes, wanted))
    whose = units.select("unit", *columns)
    rows = rows.inner_join(whose, ["unit", _in_time(rows["at"], whose["first"], wanted)])
    return rows.mutate(**{KIND: _place(rows.kind, _kinds(wanted))})


def _in_time(at: ir.TimestampColumn, first: ir.TimestampColumn, wanted: Sequence[Measure]) -> ir.BooleanColumn:
    """Whether an event is after its unit's first exposure, or in the days before it that a covariate needs."""
    past = _past(wanted)
    return at >= (first - _days(past) if past else first)


def _past(wanted: Sequence[Measure]) -> float:
    return max((-measure.start for measure in wanted if measure.of_the_past), default=0.0)


def _traced(rows: ir.Table, units: ir.Table, *columns: str) -> ir.Table:
    """The rows of exposed units, with these columns of their unit."""
    return rows.inner_join(units.select("unit", *columns), "unit")


def _joined(units: ir.Table, found: ir.Table) -> ir.Table:
    """The units with what was found of them; 0 where nothing was."""
    joined = units.left_join(found, "number")
    filled = {name: joined[name].fill_null(0) for name in found.columns if name != "number"}
    return joined.select(*units.columns, **filled)


def _distinct(exposures: ir.Table, measure: Measure, scope: Scope, units: ir.Table) -> ir.Table:
    rows = _traced(relevant_exposures(exposures, scope).drop("variant"), units, "number", "first")
    rows = rows.filter(_counted(rows, measure)).select("number", item=rows["items"].unnest())
    return rows.group_by("number").agg(**{measure.column: rows.item.nunique()})


def _total(
    rows: ir.Table, measure: Measure, among: Sequence[Measure] = (), *, in_time: bool = False
) -> ir.NumericScalar:
    """The sum or count of a measure over rows of events; among: the measures that outcomes were read for; in_time: all
    of the rows are after the first exposure."""
    here = _counted(rows, measure, among, in_time=in_time)
    if measure.of_exposures:
        if measure.name == "exposures":
            return rows.count() if here is None else rows.count(where=here)
        values = (
            _found(rows, measure.name, NUMBER).cast("float64")
            if measure.name.startswith(CONTEXT)
            else rows["items"].length()
        )
        return values.sum(where=here).fill_null(0)
    return rows.value.cast("float64").sum(where=here).fill_null(0.0) if measure.sums_values else rows.count(where=here)


def _counted(
    rows: ir.Table, measure: Measure, among: Sequence[Measure] = (), *, in_time: bool = False
) -> ir.BooleanColumn | None:
    """Which of the rows the measure counts; None for all of them."""
    conditions = [] if measure.of_exposures else [rows[KIND] == _kinds(among).index(measure.kind)]
    if "first" in rows.columns and not (in_time and measure.from_the_start):
        start = rows["first"] + _days(measure.start) if measure.start else rows["first"]
        conditions.append(rows["at"] >= start)
        if measure.end is not None:
            conditions.append(rows["at"] < (rows["first"] + _days(measure.end) if measure.end else rows["first"]))
    conditions += [_passes(rows, measure.name, *pair) for pair in measure.conditions.items()]
    return ibis.and_(*conditions) if conditions else None


def _passes(rows: ir.Table, name: str, column: str, condition: Any) -> ir.BooleanColumn:
    if column not in rows.columns:
        raise ValueError(f"{name} is filtered by {column!r}, a column that its events lack; {_known(rows)}")
    if not isinstance(condition, dict):
        values = condition if isinstance(condition, list) else [condition]
        return rows[column].isin(values)
    ends = [rows[column] >= condition["min"]] if "min" in condition else []
    return ibis.and_(*ends, *([rows[column] <= condition["max"]] if "max" in condition else []))


def _known(rows: ir.Table) -> str:
    return f"they have {', '.join(rows.columns)}"


def _days(days: float) -> Any:
    return ibis.interval(seconds=_seconds(days))


def _seconds(days: float) -> int:
    return round(days * 86_400)


def _in_context(segment: str) -> bool:
    return segment.startswith(CONTEXT)


def _context(rows: ir.Table, name: str) -> ir.StringColumn:
    """A value of the slate's context as text; of a number or a truth value, too."""
    return ibis.coalesce(_found(rows, name, TEXT), _found(rows, name, BARE))


def _found(rows: ir.Table, name: str, value: str) -> ir.StringColumn:
    """A value in the text of a JSON object, NULL where it is not there; by pattern, as not every engine reads JSON."""
    key = name.removeprefix(CONTEXT)
    if not key.replace("_", "").replace("-", "").isalnum():
        raise ValueError(f"{name}: a key of the context must be of letters, digits, _ and -, got {key!r}")
    return rows["context"].re_extract(f'"{key}"[ ]*:[ ]*{value}', 1).nullif("")

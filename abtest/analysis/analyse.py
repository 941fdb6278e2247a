"""From events, or from a table of units, to a readout: who was exposed, is the split sound, what changed."""

import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime

import ibis.expr.types as ir

from abtest.analysis import health, readout, tables, validity
from abtest.analysis.blocks import reduce_blocks
from abtest.analysis.cumulative import cumulative
from abtest.analysis.days import calendar
from abtest.analysis.engine import Source, arrow, check_columns, opened
from abtest.analysis.found import Found, gather
from abtest.analysis.looks import SPENDING
from abtest.analysis.measures import adds_up, attributes, measure_of, needs, without_covariate
from abtest.analysis.metrics import CONTEXT, choose
from abtest.analysis.reduction import fill_attributes
from abtest.analysis.units import Scope, first_exposures, per_unit, per_unit_day, values_of, with_attributes
from abtest.statistics import srm
from abtest.types import Experiment, Metric, Readout

EXPOSURE_COLUMNS = {"unit": "text", "experiment": "text", "variant": "text", "at": "time"}
OUTCOME_COLUMNS = {"unit": "text", "kind": "text", "at": "time", "value": "number"}


def analyse(
    experiment: Experiment,
    metrics: Sequence[Metric],
    exposures: Source,
    outcomes: Source,
    *,
    as_of: datetime,
    level: float = 0.95,
    srm_alpha: float = srm.ALPHA,
    daily: bool = True,
    unit_attributes: Source | None = None,
) -> Readout:
    """All that the events up to and including `as_of` say about an experiment.

    metrics: definitions; those that the experiment names are used, or all if it names none. exposures, outcomes: Arrow
    tables, Ibis tables or paths to Parquet, with the columns of abtest.events.log. daily: also the cumulative effects
    by day, which take a second pass over the events, how effects last, and how many outcomes do not count; without, a
    quick look at the effects. unit_attributes: one row per `unit` with what was known of it before, for covariates and
    segments. Ids are taken to be unique, as an event log keeps them. An empty log gives a readout of zero units, not
    an error.
    """
    chosen, scope = prepared(experiment, metrics), scope_of(experiment, as_of)
    segments = experiment.analysis.segments
    sources = {"exposures": exposures, "outcomes": outcomes}
    if unit_attributes is not None:
        sources["unit_attributes"] = unit_attributes
    with opened(sources) as (shown, done, *known), ExitStack() as kept:
        _check_events(shown, done, chosen, segments)
        measures = needs(chosen)
        exposed = first_exposures(shown, measures, scope, segments)
        exposed = _with_attributes(exposed, known, chosen, segments)
        first = kept.enter_context(exposed.cache())
        log = health.look(shown, done, measures if daily else (), scope, first)
        trends = validity.trends(chosen, log) if daily else ()
        wanted = needs([*chosen, *(metric for trend in trends for metric in trend.parts)])
        counting = scope.since(log.first)
        filled, holes = fill_attributes(first)
        units = per_unit(shown, done, wanted, counting, filled)
        if daily or segments or any(m.kind == "quantile" or m.cap_quantile for m in chosen):
            units = kept.enter_context(units.cache())
        found = gather(chosen, units, segments, level, scope.variants, events=_events(chosen, done, counting, units))
        days = calendar(log.first.date(), log.last.date()) if daily and log.first and log.last else []
        if days:
            adding = [metric for metric in found.metrics if adds_up(metric)]
            rows = per_unit_day(shown, done, needs(adding), counting, units)
            found = replace(found, days=days, by_day=cumulative(adding, rows, units, found.reduced.moments, days))
        checks = (*validity.of_days(experiment, log.entered, srm_alpha), *validity.of_trends(experiment, trends, units))
    log = replace(log, holes=holes)
    return readout.build(experiment, found, as_of=as_of, level=level, srm_alpha=srm_alpha, log=log, checks=checks)


def analyse_units(
    experiment: Experiment,
    metrics: Sequence[Metric],
    units: Source,
    *,
    as_of: datetime,
    level: float = 0.95,
    srm_alpha: float = srm.ALPHA,
    variant: str = "variant",
) -> Readout:
    """The readout of an experiment that was run elsewhere: one row per unit, with its variant and its measures.

    The table has a column that names the variant, one column per measure, named as the metrics name it (numbers or
    booleans, and none missing), and the covariates and segments that are asked for. It is read once. There is no
    history by day, as the table has no times.
    """
    chosen, scope = prepared(experiment, metrics), scope_of(experiment, as_of)
    segments = experiment.analysis.segments
    tables.check_metrics(chosen)
    units, holes = arrow(units), dict[str, int]()
    found = _at_once(chosen, units, segments, scope.variants, variant)
    if found is None:
        with opened({"units": units}) as (table,):
            table = table if variant == "variant" else tables.named(table, variant)
            found, holes = _by_queries(chosen, table, segments, level, scope.variants)
    log = replace(health.of_units(found.reduced), holes=holes)
    found = found.only(scope.variants)
    return readout.build(experiment, found, as_of=as_of, level=level, srm_alpha=srm_alpha, log=log)


def _at_once(
    metrics: Sequence[Metric], units: Source, segments: Sequence[str], variants: Sequence[str], variant: str
) -> Found | None:
    """What a table of units says where it can be read in one go; None where an engine must be asked."""
    asks_more = segments or any(m.kind == "quantile" or m.cap_quantile is not None for m in metrics)
    reduced = None if asks_more else reduce_blocks(metrics, units, variants, variant)
    return None if reduced is None else Found(metrics=tuple(metrics), reduced=reduced)


def _by_queries(
    metrics: Sequence[Metric], table: ir.Table, segments: Sequence[str], level: float, variants: Sequence[str]
) -> tuple[Found, dict[str, int]]:
    """What the engine says of a table of units, and of how many of them each covariate is not known."""
    tables.check_columns_of(table, metrics, segments)
    rows = tables.as_units(table, metrics, segments)
    found = gather(metrics, rows, segments, level, variants, faulty=tables.faulty(rows, metrics))
    if found.reduced.faults:
        tables.refuse(rows, metrics)
    if not found.reduced.holes:
        return found, {}
    rows, holes = fill_attributes(rows)
    return gather(metrics, rows, segments, level, variants), holes


def _events(metrics: Sequence[Metric], done: ir.Table, scope: Scope, units: ir.Table) -> dict[str, ir.Table]:
    """The rows of every metric that is a quantile of events."""
    of_events = [(metric, measure_of(metric, "numerator")) for metric in metrics if metric.per == "event"]
    return {metric.name: values_of(done, measure, scope, units) for metric, measure in of_events if measure is not None}


def prepared(experiment: Experiment, metrics: Sequence[Metric]) -> tuple[Metric, ...]:
    """The metrics that the experiment names, without covariates where its plan wants none."""
    chosen = choose(metrics, experiment.metrics)
    return chosen if experiment.analysis.cuped else tuple(map(without_covariate, chosen))


def scope_of(experiment: Experiment, as_of: datetime) -> Scope:
    """Which events belong to an experiment, after a check that it can be compared at all."""
    names = tuple(variant.name for variant in experiment.variants)
    if len(names) < 2 or len(set(names)) < len(names):
        raise ValueError(f"experiment {experiment.key!r} needs two variants of different names or more, got {names}")
    weights = [variant.weight for variant in experiment.variants]
    if min(weights) < 0 or not 0 < sum(weights) < math.inf:
        raise ValueError(f"experiment {experiment.key!r} needs weights >= 0 with a sum above 0, got {weights}")
    for name, at in (("as_of", as_of), ("starts", experiment.starts), ("ends", experiment.ends)):
        if at is not None and at.tzinfo is None:
            raise ValueError(f"{name} must carry a time zone, got {at.isoformat()}; use UTC")
    plan = experiment.analysis
    if plan.sequential in SPENDING and not experiment.planned_units:
        raise ValueError(
            f"sequential {plan.sequential} spends the error rate over the planned sample: give planned_units, "
            "or use confidence_sequence"
        )
    if plan.stratify is not None and plan.stratify not in plan.segments:
        raise ValueError(
            f"stratify must be one of the segments {', '.join(plan.segments) or '(none)'}, got {plan.stratify}"
        )
    if plan.looks is not None and plan.looks < 1:
        raise ValueError(f"looks must be >= 1, got {plan.looks}")
    return Scope(experiment=experiment.key, variants=names, as_of=as_of, starts=experiment.starts, ends=experiment.ends)


def _check_events(shown: ir.Table, done: ir.Table, metrics: Sequence[Metric], segments: Sequence[str]) -> None:
    measures = needs(metrics)
    names = [measure.name for measure in measures]
    slate = {"items": "list"} if {"impressions", "distinct_items"} & set(names) else {}
    context = any(name.startswith(CONTEXT) for name in (*names, *segments))
    check_columns(shown, "exposures", EXPOSURE_COLUMNS | slate | ({"context": "text"} if context else {}))
    check_columns(done, "outcomes", OUTCOME_COLUMNS)


def _with_attributes(
    exposed: ir.Table, known: Sequence[ir.Table], metrics: Sequence[Metric], segments: Sequence[str]
) -> ir.Table:
    """The exposed units with the attributes that covariates and segments name, from the table that was handed in."""
    covariates = attributes(metrics)
    named = [name for name in segments if not name.startswith(CONTEXT)]
    if not (covariates or named):
        return exposed
    if not known:
        names = ", ".join((*covariates, *named))
        raise ValueError(f"{names}: attributes of a unit; give unit_attributes, a table with one row per unit")
    (table,) = known
    check_columns(table, "unit_attributes", {"unit": "text", **dict.fromkeys(covariates, "number")})
    check_columns(table, "unit_attributes", dict.fromkeys(named, "any"))
    (row,) = table.agg(rows=table.count(), units=table.unit.nunique()).to_pyarrow().to_pylist()
    if row["rows"] > row["units"]:
        raise ValueError(f"unit_attributes: {row['rows']:,} rows of {row['units']:,} units; keep one row per unit")
    return with_attributes(exposed, table, covariates, named)

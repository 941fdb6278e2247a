"""What is wrong with a log, counted in the engine and said in sentences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import ibis
import ibis.expr.types as ir

from abtest.analysis.days import utc
from abtest.analysis.entries import Entry, entries
from abtest.analysis.measures import Measure
from abtest.analysis.reduction import Reduced
from abtest.analysis.units import Scope, counted
from abtest.types import Arm, Experiment, Metric

STALE = timedelta(days=1)
FALLBACK_SHARE = 0.01  # of an arm's slates; above it the arm is no longer what it is called


@dataclass(frozen=True, kw_only=True)
class Slates:
    """The exposures of one variant name, also of one that the experiment does not have."""

    variant: str
    inside: int
    outside: int = 0
    fallbacks: int = 0
    last: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Log:
    """The events of an experiment, counted: outcomes of the measured kinds by any unit, and slates by variant name,
    none where all of them are of known variants, inside the experiment's period and from no fallback.

    entered: the units by day; unreadable: outcomes whose value is not a finite number; matched: readable outcomes of
    exposed units; early: those of clean units that came too early to count; last: the last event; holes: covariate ->
    units of which it is not known.
    """

    entered: tuple[Entry, ...] = ()
    slates: tuple[Slates, ...] = ()
    outcomes: int = 0
    unreadable: int = 0
    matched: int = 0
    early: int = 0
    last: datetime | None = None
    holes: Mapping[str, int] = field(default_factory=dict)

    @property
    def first(self) -> datetime | None:
        """The first exposure."""
        return min((entry.first for entry in self.entered), default=None)


def look(exposures: ir.Table, outcomes: ir.Table, wanted: Sequence[Measure], scope: Scope, units: ir.Table) -> Log:
    """Count the events; where nothing is wanted of outcomes, they are not looked at. units: from `first_exposures`."""
    entered = entries(units)
    found, last = slates(exposures, scope, sum(entry.slates for entry in entered))
    log = Log(entered=entered, slates=found, last=last if entered else None)
    wanted = [measure for measure in wanted if not measure.of_exposures]
    if not wanted:
        return log
    (row,) = counted(outcomes, wanted, scope, units).to_pyarrow().to_pylist()
    ends = [at for at in (last, _utc(row["last"])) if at]
    return replace(
        log,
        outcomes=int(row["total"]),
        unreadable=int(row["total"]) - int(row["readable"]),
        matched=int(row["matched"]),
        early=int(row["early"]),
        last=max(ends) if entered else None,
    )


def of_units(reduced: Reduced) -> Log:
    """The log of a table of units: its rows by variant name."""
    return Log(slates=tuple(Slates(variant=name, inside=n) for name, n in sorted(reduced.units.items(), key=str)))


def slates(exposures: ir.Table, scope: Scope, belong: int) -> tuple[tuple[Slates, ...], datetime | None]:
    """One row per variant name found in the log, in order of name, and the time of the last slate that belongs; no rows
    where just those slates are there that `belong`. Events after as_of are not looked at."""
    rows = exposures.filter((exposures.experiment == scope.experiment) & (exposures["at"] <= scope.as_of))
    fallback = _fallback(rows)
    (whole,) = (
        rows.agg(total=rows.count(), fallbacks=rows.count(where=fallback), last=rows["at"].max())
        .to_pyarrow()
        .to_pylist()
    )
    if whole["total"] == belong and not whole["fallbacks"]:  # by name takes longer, and has nothing to tell
        return (), _utc(whole["last"])
    inside = scope.within(rows["at"])
    by_name = rows.group_by("variant").agg(
        inside=rows.count(where=inside),
        outside=rows.count(where=~inside),
        fallbacks=rows.count(where=fallback & inside),
        last=rows["at"].max(where=inside),
    )
    found = tuple(
        Slates(
            variant=row["variant"],
            inside=int(row["inside"]),
            outside=int(row["outside"]),
            fallbacks=int(row["fallbacks"]),
            last=_utc(row["last"]),
        )
        for row in sorted(by_name.to_pyarrow().to_pylist(), key=lambda row: str(row["variant"]))
    )
    known = [row.last for row in found if row.last is not None and row.variant in scope.variants]
    return found, max(known, default=None)


def warnings(
    experiment: Experiment, arms: Sequence[Arm], reduced: Reduced, log: Log | None, as_of: datetime
) -> tuple[str, ...]:
    """What a reader of the numbers must know, in sentences; empty when all is well."""
    said = [*_of_arms(experiment, arms), *_of_units(reduced)]
    if log is not None:
        said += [*_of_slates(log, experiment), *_of_outcomes(log), *_of_time(log, experiment, as_of)]
        said += _of_covariates(log, reduced)
    return tuple(said)


def of_waiting(metrics: Sequence[Metric], reduced: Reduced) -> list[str]:
    """How many units a metric leaves out because their days are not over."""
    waiting: dict[str, int] = {}
    for (name, _), n in reduced.waiting.items():
        waiting[name] = waiting.get(name, 0) + n
    names = {metric.name: metric.name.replace("_", " ") for metric in metrics}
    return [
        f"{count(n, 'unit')} {was(n)} left out of {names[name]}: their days are not over yet."
        for name, n in waiting.items()
        if n and name in names
    ]


def _of_arms(experiment: Experiment, arms: Sequence[Arm]) -> list[str]:
    total = sum(arm.units for arm in arms)
    found = [f"No units in {arm.variant}." for arm in arms if arm.units == 0 and arm.share > 0]
    found += [
        f"{arm.variant} has weight 0 but {count(arm.units, 'unit')}." for arm in arms if arm.units and arm.share == 0
    ]
    if experiment.planned_units is not None and total < experiment.planned_units:
        found.append(f"The planned sample is not reached: {total:,} of {experiment.planned_units:,} units.")
    return found


def _of_units(reduced: Reduced) -> list[str]:
    several = reduced.several
    if not several:
        return []
    share = several / (several + sum(reduced.units.values()))
    return [f"{count(several, 'unit')} ({share:.2%}) saw more than one variant and {was(several)} left out."]


def _of_slates(log: Log, experiment: Experiment) -> list[str]:
    names = {variant.name for variant in experiment.variants}
    said, outside = [], 0
    for row in log.slates:
        if row.variant not in names:
            n = row.inside + row.outside
            said.append(f"{count(n, 'row')} of the unknown variant {row.variant!r} {was(n)} left out.")
            continue
        outside += row.outside
        if row.inside and row.fallbacks / row.inside > FALLBACK_SHARE:
            share = row.fallbacks / row.inside
            said.append(f"{share:.1%} of the slates of {row.variant} came from a fallback, not from its own model.")
    if outside:
        said.append(f"{count(outside, 'exposure')} outside the experiment's period {was(outside)} left out.")
    return said


def _of_outcomes(log: Log) -> list[str]:
    counts = (
        (log.early, "came before their unit's first exposure"),
        (log.outcomes - log.unreadable - log.matched, "belong to units that were never exposed"),
        (log.unreadable, "hold a value that is not a finite number"),
    )
    return [f"{count(n, 'outcome')} that {words} {was(n)} left out." for n, words in counts if n]


def _of_covariates(log: Log, reduced: Reduced) -> list[str]:
    total = sum(reduced.units.values()) + reduced.several
    return [
        f"The covariate {name} is not known of {count(n, 'unit')} ({n / max(total, 1):.1%}); the mean stands for it."
        for name, n in log.holes.items()
    ]


def _of_time(log: Log, experiment: Experiment, as_of: datetime) -> list[str]:
    still_open = experiment.ends is None or as_of < experiment.ends
    if log.last is None or not still_open or as_of - log.last <= STALE:
        return []
    days = (as_of - log.last) / timedelta(days=1)
    return [f"The data may be stale: the last event is {days:.1f} days older than this readout."]


def count(n: int, noun: str) -> str:
    """The number with its noun: 1 unit, 1,200 units."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def was(n: int) -> str:
    """The verb that goes with n things."""
    return "was" if n == 1 else "were"


def _utc(at: datetime | None) -> datetime | None:
    return None if at is None else utc(at)


def _fallback(rows: ir.Table) -> ir.BooleanValue:
    """Whether the slate's context says "fallback": true, in either spelling of JSON's colon."""
    if "context" not in rows.columns:
        return ibis.literal(False)
    context = rows.context.fill_null("")
    return context.contains('"fallback":true') | context.contains('"fallback": true')

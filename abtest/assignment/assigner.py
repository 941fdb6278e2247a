"""The assigner: where a unit stands in an experiment, the same answer for one unit, for millions, and for ever."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any, NoReturn, get_args

import numpy as np
from numpy.typing import NDArray

from abtest.assignment.audience import Audience, Columns
from abtest.assignment.hashing import BUCKETS, bucket, buckets, text_array
from abtest.assignment.plan import Plan, normalised, salt_of, shares, window
from abtest.types import Assignment, Experiment, Holdout, Reason
from bakeoff.catalogue import check_name

REASONS: tuple[Reason, ...] = get_args(Reason)
NO_VARIANT = -1
NO_BUCKET = -1  # the answer was known before the variant hash was asked

NO_ATTRIBUTES: Mapping[str, Any] = MappingProxyType({})

_SPLIT, _TRAFFIC, _LAYER, _INACTIVE, _AUDIENCE, _HOLDOUT, _OVERRIDE = range(7)


@dataclass(frozen=True, kw_only=True)
class Assignments:
    """Where n units stand in one experiment.

    units (n,) str; variant (n,) int8, number in `variants`, -1 = not part; bucket (n,) int32 of the variant hash, -1
    where it was not asked; reason (n,) int8, number in REASONS.
    """

    experiment: str
    variants: tuple[str, ...]
    units: NDArray[np.str_]
    variant: NDArray[np.int8]
    bucket: NDArray[np.int32]
    reason: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.units)

    def __getitem__(self, row: int) -> Assignment:
        """The assignment of one unit, as `Assigner.assign` gives it."""
        number = int(self.variant[row])
        return Assignment(
            unit=str(self.units[row]),
            experiment=self.experiment,
            variant=None if number == NO_VARIANT else self.variants[number],
            bucket=int(self.bucket[row]),
            reason=REASONS[self.reason[row]],
        )


class Assigner:
    """Assigns units to the variants of a plan's experiments. Pure: no clock, no memory, no randomness.

    Asked in this order: is the experiment known (else LookupError), is the unit a tester of it (also of a draft, never
    of one that is over), is it running at `at`, is the unit held out from everything, does the layer's hash fall into
    its range, do the unit's attributes belong to its audience, does the variant hash fall into the traffic; then the
    variant is the range the hash fell into. Ranges are GrowthBook's: `[start, start + traffic * weight)` with `start`
    the sum of the weights before, so that growing the traffic adds units and moves nobody. After a change of weights
    the same ranges are laid over the buckets that nobody has yet: whoever was in stays.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._tables = {experiment.key: _Table(experiment, plan.holdout) for experiment in plan}

    def assign(
        self, experiment: str, unit: str, at: datetime, attributes: Mapping[str, Any] = NO_ATTRIBUTES
    ) -> Assignment:
        """Where one unit stands at a moment; attributes: what is known of it, for the audience."""
        table = self._tables.get(experiment) or self._unknown(experiment)
        if not isinstance(unit, str) or not unit or unit[-1] == "\0":
            _refuse(unit)
        if table.plain and at.tzinfo is not None:  # nothing but the hash decides: the common case
            number = bucket(table.salt, unit)
            variant = table.name_of[number]
            return _assignment(unit, experiment, variant, number, "traffic" if variant is None else "split")
        if unit in table.overrides:
            return _assignment(unit, experiment, table.overrides[unit], NO_BUCKET, "override")
        if not table.active(at):
            return _assignment(unit, experiment, None, NO_BUCKET, "inactive")
        if table.held_salt is not None and table.held_list[bucket(table.held_salt, unit)]:
            return _assignment(unit, experiment, None, NO_BUCKET, "holdout")
        if table.layer_salt is not None and not table.owned_list[bucket(table.layer_salt, unit)]:
            return _assignment(unit, experiment, None, NO_BUCKET, "layer")
        if table.audience is not None and not table.audience.has(attributes):
            return _assignment(unit, experiment, None, NO_BUCKET, "audience")
        number = bucket(table.salt, unit)
        variant = table.name_of[number]
        return _assignment(unit, experiment, variant, number, "traffic" if variant is None else "split")

    def assign_many(
        self,
        experiment: str,
        units: NDArray[np.str_] | Sequence[str],
        at: datetime,
        attributes: Columns = NO_ATTRIBUTES,
    ) -> Assignments:
        """Where many units stand at a moment: the same answers as `assign`, in arrays; attributes: name -> (n,)."""
        table = self._tables.get(experiment) or self._unknown(experiment)
        texts = text_array(units)
        if (texts == "").any():
            raise ValueError(f"unit {int(np.argmax(texts == ''))} is an empty string; every unit needs an id")
        found = table.split(texts, attributes) if table.active(at) else _all_outside(table, texts, _INACTIVE)
        return table.overridden(found)

    def _unknown(self, experiment: str) -> NoReturn:
        check_name(self.plan.experiments, experiment, "experiment")
        raise AssertionError(f"{experiment!r} is in the plan but has no table")


def planned(experiment: Experiment) -> Experiment:
    """The experiment with the weights that all its stages together come to: what its sample ratio is checked against.

    Without earlier stages it is the experiment itself.
    """
    if not experiment.earlier:
        return experiment
    counts = np.bincount(_variant_of_bucket(experiment) + 1, minlength=len(experiment.variants) + 1)[1:]
    weights = (counts / counts.sum()).tolist()
    variants = tuple(replace(v, weight=w) for v, w in zip(experiment.variants, weights, strict=True))
    return replace(experiment, variants=variants)


class _Table:
    """One experiment with the variant of every bucket worked out: assigning is a hash and a look-up."""

    def __init__(self, experiment: Experiment, holdout: Holdout | None) -> None:
        self.key = experiment.key
        self.running = experiment.status == "running"
        self.starts, self.ends = window(experiment)
        self.always = self.running and experiment.starts is None and experiment.ends is None
        self.salt = salt_of(experiment)
        self.variants = tuple(variant.name for variant in experiment.variants)
        self.variant_of = _variant_of_bucket(experiment)
        self.name_of = [None if n == NO_VARIANT else self.variants[n] for n in self.variant_of.tolist()]
        self.layer_salt = experiment.layer.salt if experiment.layer else None
        self.owned = _inside(*experiment.layer_range)
        self.owned_list = self.owned.tolist()
        self.held_salt = holdout.salt if holdout is not None and holdout.share > 0 else None
        self.held = _inside(0.0, holdout.share if holdout is not None else 0.0)
        self.held_list = self.held.tolist()
        self.audience = Audience(experiment.audience) if experiment.audience else None
        # what is over is over for testers, too: to stop is to switch off
        self.overrides = dict(experiment.overrides) if experiment.status in ("draft", "running") else {}

        self.plain = self.always and not (self.overrides or self.audience) and self.layer_salt is self.held_salt is None

    def active(self, at: datetime) -> bool:
        if at.tzinfo is None:
            raise ValueError(f"at must have a time zone, got {at}; use datetime(..., tzinfo=UTC)")
        # comparing times of different zones costs as much as the hash: only where there is something to compare
        return self.always or (self.running and self.starts <= at < self.ends)

    def split(self, texts: NDArray[np.str_], attributes: Columns) -> Assignments:
        found = _all_outside(self, texts, _LAYER)
        rows = np.arange(len(texts))
        if self.held_salt is not None:
            held = self.held[buckets(self.held_salt, texts)]
            found.reason[held] = _HOLDOUT
            rows = rows[~held]
        if self.layer_salt is not None:
            rows = rows[self.owned[buckets(self.layer_salt, texts[rows])]]
        if self.audience is not None:
            inside = self.audience.mask(attributes, len(texts))[rows]
            found.reason[rows[~inside]] = _AUDIENCE
            rows = rows[inside]
        everybody = len(rows) == len(texts)
        found.bucket[rows] = buckets(self.salt, texts if everybody else texts[rows])
        found.variant[rows] = self.variant_of[found.bucket[rows]]
        found.reason[rows] = np.where(found.variant[rows] == NO_VARIANT, _TRAFFIC, _SPLIT)
        return found

    def overridden(self, found: Assignments) -> Assignments:
        """The same with the testers put where they are to be; `found` is written to."""
        for unit, name in self.overrides.items():
            rows = found.units == unit
            found.variant[rows], found.bucket[rows] = self.variants.index(name), NO_BUCKET
            found.reason[rows] = _OVERRIDE
        return found


def _variant_of_bucket(experiment: Experiment) -> NDArray[np.int8]:
    """The variant's number of each bucket (10000,), -1 outside the traffic: stage after stage, each where none was."""
    variant_of = np.full(BUCKETS, NO_VARIANT, np.int8)
    stages = [(stage.traffic, normalised(stage.weights)) for stage in experiment.earlier]
    for traffic, weights in [*stages, (experiment.traffic, shares(experiment))]:
        free = np.flatnonzero(variant_of == NO_VARIANT)
        if len(free):
            taken = BUCKETS - len(free)
            share = traffic if not taken else min(max((traffic * BUCKETS - taken) / len(free), 0.0), 1.0)
            variant_of[free] = _ranges(weights, share, len(free))
    return variant_of


def _ranges(weights: Sequence[float], traffic: float, n: int) -> NDArray[np.int8]:
    """The variant's number of n places in [0, 1), -1 outside the traffic; sums as GrowthBook sums them."""
    variant_of = np.full(n, NO_VARIANT, np.int8)
    start = 0.0
    for number, weight in enumerate(weights):
        inside = _inside(start, start + traffic * weight, n)
        variant_of[inside & (variant_of == NO_VARIANT)] = number  # the first range wins, as in GrowthBook
        start += weight
    return variant_of


def _inside(start: float, end: float, n: int = BUCKETS) -> NDArray[np.bool_]:
    """Whether each of n buckets lies in [start, end) of [0, 1)."""
    point = np.arange(n) / n
    return (start <= point) & (point < end)


def _all_outside(table: _Table, texts: NDArray[np.str_], reason: int) -> Assignments:
    n = len(texts)
    return Assignments(
        experiment=table.key,
        variants=table.variants,
        units=texts,
        variant=np.full(n, NO_VARIANT, np.int8),
        bucket=np.full(n, NO_BUCKET, np.int32),
        reason=np.full(n, reason, np.int8),
    )


class _Open:
    """An Assignment that may still be written to."""

    unit: str
    experiment: str
    variant: str | None
    bucket: int
    reason: Reason


def _assignment(unit: str, experiment: str, variant: str | None, bucket: int, reason: Reason) -> Assignment:
    # a frozen dataclass sets its fields one by one, 0.9 µs; an open object that then becomes one takes a fifth of that
    made = _Open()
    made.unit = unit
    made.experiment = experiment
    made.variant = variant
    made.bucket = bucket
    made.reason = reason
    made.__class__ = Assignment  # type: ignore[assignment]
    return made  # type: ignore[return-value]


def _refuse(unit: object) -> NoReturn:
    raise ValueError(f"a unit must be a non-empty string that does not end with NUL, got {unit!r}")

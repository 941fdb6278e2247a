"""The plan: all experiments, checked one by one and against each other before any unit is assigned."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import combinations, pairwise
from math import isfinite
from numbers import Real
from typing import Any, TypeVar, get_args

from abtest.assignment import audience
from abtest.types import Experiment, Holdout, Status, Variant

WEIGHTS_WITHIN = (0.99, 1.01)  # of the sum: room for 0.33 + 0.33 + 0.33, none for a forgotten variant
MOST_VARIANTS = 127  # a variant's number is an int8

_Point = TypeVar("_Point", float, datetime)
_ALWAYS = (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))


class Plan:
    """Experiments that may run together, by key, and the units that are held out from all of them.

    Raises a ValueError with every problem it finds, one sentence each.
    """

    def __init__(self, experiments: Iterable[Experiment], holdout: Holdout | None = None) -> None:
        listed = tuple(experiments)
        check(listed, holdout)
        self.holdout = holdout
        self.experiments: dict[str, Experiment] = {experiment.key: experiment for experiment in listed}

    def __iter__(self) -> Iterator[Experiment]:
        return iter(self.experiments.values())

    def __len__(self) -> int:
        return len(self.experiments)


def check(experiments: Sequence[Experiment], holdout: Holdout | None = None) -> None:
    """Raise a ValueError that names all problems of the experiments, alone and together."""
    problems = [problem for experiment in experiments for problem in problems_of(experiment)]
    # two experiments that are broken alone would only be compared with nonsense
    problems = problems or [*_problems_between(experiments), *_holdout_problems(holdout, experiments)]
    if problems:
        raise ValueError("the plan cannot run: " + "; ".join(problems))


def problems_of(experiment: Experiment) -> list[str]:
    """What is wrong with one experiment, in sentences; empty when nothing is."""
    # what has the wrong type cannot be asked anything further
    found = list(_type_problems(experiment)) or [
        *_key_problems(experiment),
        *_variant_problems(experiment.variants),
        *_traffic_problems(experiment),
        *_time_problems(experiment),
        *audience.problems(experiment.audience),
        *_override_problems(experiment),
        *_stage_problems(experiment),
    ]
    return [f"experiment {experiment.key!r} {problem}" for problem in found]


def salt_of(experiment: Experiment) -> str:
    """The seed of the variant hash: the salt, or the key when there is none."""
    return experiment.salt or experiment.key


def shares(experiment: Experiment) -> tuple[float, ...]:
    """Each variant's planned share of the experiment's units; they sum to 1.

    Weights that sum to 1 stay as they are to the last bit (GrowthBook's ranges come out the same); others, such as
    three times 0.333, are divided by their sum, so that what is planned and what happens agree.
    """
    return normalised([variant.weight for variant in experiment.variants])


def normalised(weights: Sequence[float]) -> tuple[float, ...]:
    """The weights, divided by their sum unless that is 1 already."""
    total = sum(weights)
    return tuple(weights) if abs(total - 1) < 1e-9 else tuple(weight / total for weight in weights)


def window(experiment: Experiment) -> tuple[datetime, datetime]:
    """The [start, end) in which the experiment can be active; an open side reaches to the end of time."""
    return experiment.starts or _ALWAYS[0], experiment.ends or _ALWAYS[1]


def _type_problems(experiment: Experiment) -> Iterator[str]:
    start, end = experiment.layer_range
    expected: list[tuple[str, object, Any, str]] = [
        ("key", experiment.key, str, "a string"),
        ("salt", experiment.salt, str, "a string"),
        ("unit", experiment.unit, str, "a string"),
        ("traffic", experiment.traffic, Real, "a number"),
        ("layer_range start", start, Real, "a number"),
        ("layer_range end", end, Real, "a number"),
        ("starts", experiment.starts, datetime | None, "a datetime or None"),
        ("ends", experiment.ends, datetime | None, "a datetime or None"),
        *((f"variant {i} name", variant.name, str, "a string") for i, variant in enumerate(experiment.variants)),
        *((f"variant {i} weight", variant.weight, Real, "a number") for i, variant in enumerate(experiment.variants)),
    ]
    for name, got, kind, words in expected:
        if not isinstance(got, kind):
            yield f"has {name} = {got!r}; expected {words}"


def _key_problems(experiment: Experiment) -> Iterator[str]:
    if not experiment.key.strip():
        yield "has an empty key; give it a name that never changes"
    if not experiment.unit.strip():
        yield "has an empty unit; say what is assigned, such as 'user'"
    if experiment.status not in get_args(Status):
        yield f"has the status {experiment.status!r}; expected one of {', '.join(get_args(Status))}"
    if experiment.planned_units is not None and experiment.planned_units < 1:
        yield f"plans {experiment.planned_units} units; expected at least 1, or None when nothing is planned"


def _variant_problems(variants: Sequence[Variant]) -> Iterator[str]:
    if not 2 <= len(variants) <= MOST_VARIANTS:
        yield f"has {len(variants)} variants; expected 2 to {MOST_VARIANTS}, the control first"
    for name, times in Counter(variant.name for variant in variants).items():
        if not name.strip():
            yield "has a variant without a name"
        elif times > 1:
            yield f"has {times} variants named {name!r}; names must differ"
    bad = [v for v in variants if not (isfinite(v.weight) and v.weight >= 0)]
    for variant in bad:
        yield f"gives variant {variant.name!r} the weight {variant.weight}; expected a share from 0 to 1"
    total = sum(variant.weight for variant in variants)
    if variants and not bad and not WEIGHTS_WITHIN[0] <= total <= WEIGHTS_WITHIN[1]:
        yield f"has weights that sum to {total:.6g}; expected 1"


def _traffic_problems(experiment: Experiment) -> Iterator[str]:
    if not 0 < experiment.traffic <= 1:
        yield f"has traffic {experiment.traffic}; expected a share above 0 and up to 1 (to pause it, set its status)"
    start, end = experiment.layer_range
    if not 0 <= start < end <= 1:
        yield f"owns the layer range [{start}, {end}); expected 0 <= start < end <= 1"
    layer = experiment.layer
    if layer is None and (start, end) != (0.0, 1.0):
        yield f"owns the range [{start}, {end}) of no layer; name the layer or leave the range out"
    if layer is not None and not (layer.name.strip() and layer.salt):
        yield f"is in a layer with the name {layer.name!r} and the salt {layer.salt!r}; both must be set"
    if layer is not None and layer.salt == salt_of(experiment):
        # within a range of the layer's hash, the same hash would put nearly everybody into one variant
        yield f"shares the salt {layer.salt!r} with its layer {layer.name!r}; give the layer a salt of its own"


def _override_problems(experiment: Experiment) -> Iterator[str]:
    names = [variant.name for variant in experiment.variants]
    for unit, name in experiment.overrides.items():
        if name not in names:
            yield f"gives the tester {unit!r} the variant {name!r}; it has {', '.join(map(repr, names))}"


def _stage_problems(experiment: Experiment) -> Iterator[str]:
    if not experiment.earlier:
        return
    traffic = [stage.traffic for stage in experiment.earlier] + [experiment.traffic]
    if any(after < before for before, after in pairwise(traffic)) or not all(share > 0 for share in traffic):
        yield f"had the traffic {traffic} by stages; it only grows, so that nobody is thrown out"
    for stage in experiment.earlier:
        if len(stage.weights) != len(experiment.variants) or not all(isfinite(w) and w >= 0 for w in stage.weights):
            yield f"had the weights {stage.weights}; expected a share for each of {len(experiment.variants)} variants"
        elif not WEIGHTS_WITHIN[0] <= sum(stage.weights) <= WEIGHTS_WITHIN[1]:
            yield f"had weights that sum to {sum(stage.weights):.6g}; expected 1"


def _holdout_problems(holdout: Holdout | None, experiments: Sequence[Experiment]) -> Iterator[str]:
    if holdout is None:
        return
    if not 0 <= holdout.share < 1:
        yield f"the holdout has the share {holdout.share}; expected at least 0 and below 1"
    if not holdout.salt:
        yield "the holdout has no salt; give it one"
    for experiment in experiments:
        salts = {salt_of(experiment), experiment.layer.salt if experiment.layer else ""}
        if experiment.status == "running" and holdout.salt in salts:
            # the same hash would hold out one end of its first variant, not a sample of everybody
            yield f"experiment {experiment.key!r} shares the salt {holdout.salt!r} with the holdout; give it another"


def _time_problems(experiment: Experiment) -> Iterator[str]:
    named = (("starts", experiment.starts), ("ends", experiment.ends))
    naive = [(name, at) for name, at in named if at is not None and at.utcoffset() is None]
    for name, at in naive:
        yield f"has {name} = {at} without a time zone; add one, such as +00:00"
    if not naive and experiment.starts and experiment.ends and experiment.ends <= experiment.starts:
        yield f"ends at {experiment.ends}, not after it starts at {experiment.starts}"


def _problems_between(experiments: Sequence[Experiment]) -> Iterator[str]:
    for key, times in Counter(experiment.key for experiment in experiments).items():
        if times > 1:
            yield f"{times} experiments have the key {key!r}; a key names one experiment for ever"
    running = [experiment for experiment in experiments if experiment.status == "running"]
    for one, other in combinations(running, 2):
        if _meet(window(one), window(other)):
            yield from _salt_clashes(one, other)
            yield from _layer_clashes(one, other)


def _salt_clashes(one: Experiment, other: Experiment) -> Iterator[str]:
    if salt_of(one) == salt_of(other):
        yield (
            f"experiments {one.key!r} and {other.key!r} run at the same time with the salt {salt_of(one)!r}: the same "
            "units would be treated in both; give one another salt"
        )


def _layer_clashes(one: Experiment, other: Experiment) -> Iterator[str]:
    if one.layer is None or other.layer is None:
        return
    pair = f"experiments {one.key!r} and {other.key!r}"
    same_name, same_salt = one.layer.name == other.layer.name, one.layer.salt == other.layer.salt
    if same_name and not same_salt:
        yield (
            f"{pair} give the layer {one.layer.name!r} the salts {one.layer.salt!r} and {other.layer.salt!r}; "
            "a layer has one"
        )
    if same_salt and not same_name:
        yield (
            f"{pair} are in the layers {one.layer.name!r} and {other.layer.name!r} with one salt "
            f"{one.layer.salt!r}: the layers would not be independent"
        )
    if same_name and _meet(one.layer_range, other.layer_range):
        yield f"{pair} overlap in the layer {one.layer.name!r}: {one.layer_range} and {other.layer_range}"


def _meet(one: tuple[_Point, _Point], other: tuple[_Point, _Point]) -> bool:
    return one[0] < other[1] and other[0] < one[1]

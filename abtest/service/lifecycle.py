"""What may be done to an experiment in which state: draft → running ⇄ stopped, or decided → archived. Pure."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from abtest.service.ports import Action, Wanted
from abtest.types import Experiment, Stage, Status

ALLOWED: dict[Action, tuple[tuple[Status, ...], Status | None]] = {
    "start": (("draft",), "running"),
    "ramp": (("draft", "running"), None),
    "reweigh": (("draft", "running"), None),
    "override": (("draft", "running"), None),
    "stop": (("running",), "stopped"),
    "resume": (("stopped",), "running"),
    "archive": (("draft", "stopped", "decided"), "archived"),
}
"""Action -> the states in which it may be done, and the state it leads to (None: the same)."""


class NotAllowedError(Exception):
    """The experiment's state forbids it; the text says why. exit_code: no, but not wrongly used."""

    exit_code = 1


def changed(experiment: Experiment, action: Action, to: Wanted | None = None) -> Experiment:
    """The experiment after the action.

    Ramping only adds buckets: whoever takes part stays in its variant. Less traffic is refused, for it would throw
    out units that are counted. New weights are for the units that have no variant yet; the others keep theirs.
    """
    if action not in ALLOWED:
        raise ValueError(f"unknown action {action!r}; known: {', '.join(ALLOWED)}")
    states, leads_to = ALLOWED[action]
    if experiment.status not in states:
        raise NotAllowedError(
            f"experiment {experiment.key!r} is {experiment.status}; {action} needs it to be {' or '.join(states)}"
        )
    wanted = to or Wanted()
    if action == "ramp":
        return replace(experiment, traffic=_more(experiment, wanted.traffic))
    if action == "reweigh":
        return _reweighed(experiment, wanted.weights)
    if action == "override":
        return replace(experiment, overrides=dict(wanted.overrides or {}))
    return replace(experiment, status=leads_to or experiment.status)


def difference(before: Experiment, after: Experiment) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fields that an action can change, before and after, where they differ."""
    old, new = _changeable(before), _changeable(after)
    names = [name for name in old if old[name] != new[name]]
    return {n: old[n] for n in names}, {n: new[n] for n in names}


def _changeable(experiment: Experiment) -> dict[str, Any]:
    return {
        "status": experiment.status,
        "traffic": experiment.traffic,
        "weights": {variant.name: variant.weight for variant in experiment.variants},
        "overrides": dict(experiment.overrides),
    }


def _more(experiment: Experiment, traffic: float | None) -> float:
    if traffic is None or not 0 < traffic <= 1:
        raise ValueError(f"traffic must be a share in (0, 1], got {traffic}")
    if traffic <= experiment.traffic and experiment.status == "running":
        raise NotAllowedError(
            f"experiment {experiment.key!r} has {experiment.traffic:.3g} of the traffic already, asked for "
            f"{traffic:.3g}: traffic only grows while it runs; stop the experiment instead"
        )
    return traffic


def _reweighed(experiment: Experiment, weights: Mapping[str, float] | None) -> Experiment:
    names = [variant.name for variant in experiment.variants]
    if weights is None or set(weights) != set(names):
        given = "none" if weights is None else ", ".join(map(repr, weights))
        raise ValueError(f"weights must name every variant of {experiment.key!r} ({', '.join(names)}), got {given}")
    variants = tuple(replace(variant, weight=float(weights[variant.name])) for variant in experiment.variants)
    if experiment.status == "draft":
        return replace(experiment, variants=variants)
    if experiment.traffic >= 1:
        raise NotAllowedError(
            f"experiment {experiment.key!r} has all of the traffic: every unit has its variant and keeps it, so new "
            "weights would be for nobody; stop it and start another"
        )
    stage = Stage(traffic=experiment.traffic, weights=tuple(variant.weight for variant in experiment.variants))
    # weights that were changed twice without a ramp in between were for nobody
    idle = bool(experiment.earlier) and experiment.earlier[-1].traffic == experiment.traffic
    return replace(experiment, variants=variants, earlier=experiment.earlier if idle else (*experiment.earlier, stage))

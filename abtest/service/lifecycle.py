"""What may be done to an experiment in which state: draft → running → stopped or decided → archived. Pure."""

from dataclasses import replace

from abtest.service.ports import Action
from abtest.types import Experiment, Status

ALLOWED: dict[Action, tuple[tuple[Status, ...], Status | None]] = {
    "start": (("draft",), "running"),
    "ramp": (("draft", "running"), None),
    "stop": (("running",), "stopped"),
    "archive": (("draft", "stopped", "decided"), "archived"),
}
"""Action -> the states in which it may be done, and the state it leads to (None: the same)."""


class NotAllowedError(Exception):
    """The experiment's state forbids it; the text says why. exit_code: no, but not wrongly used."""

    exit_code = 1


def changed(experiment: Experiment, action: Action, traffic: float | None = None) -> Experiment:
    """The experiment after the action.

    Ramping only adds buckets: whoever takes part stays in its variant. Less traffic is refused, for it would throw
    out units that are counted.
    """
    if action not in ALLOWED:
        raise ValueError(f"unknown action {action!r}; known: {', '.join(ALLOWED)}")
    states, leads_to = ALLOWED[action]
    if experiment.status not in states:
        raise NotAllowedError(
            f"experiment {experiment.key!r} is {experiment.status}; {action} needs it to be {' or '.join(states)}"
        )
    if action == "ramp":
        return replace(experiment, traffic=_more(experiment, traffic))
    return replace(experiment, status=leads_to or experiment.status)


def difference(before: Experiment, after: Experiment) -> tuple[dict[str, object], dict[str, object]]:
    """The fields that an action can change, before and after, where they differ."""
    names = [name for name in ("status", "traffic") if getattr(before, name) != getattr(after, name)]
    return {n: getattr(before, n) for n in names}, {n: getattr(after, n) for n in names}


def _more(experiment: Experiment, traffic: float | None) -> float:
    if traffic is None or not 0 < traffic <= 1:
        raise ValueError(f"traffic must be a share in (0, 1], got {traffic}")
    if traffic <= experiment.traffic and experiment.status == "running":
        raise NotAllowedError(
            f"experiment {experiment.key!r} has {experiment.traffic:.3g} of the traffic already, asked for "
            f"{traffic:.3g}: traffic only grows while it runs; stop the experiment instead"
        )
    return traffic

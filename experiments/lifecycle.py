"""Ramping an experiment up and stopping it: kept in its definition, with who did it and why in its audit and notes."""

from dataclasses import replace
from datetime import datetime

from abtest.service.ports import Change
from experiments.audit import Audit
from experiments.home import Home
from experiments.notes import Note, Notes
from experiments.store import Definition, ExperimentStore


class NotStoppedError(Exception):
    """There is nothing to stop; the text says why. exit_code: no, but not wrongly used."""

    exit_code = 1


class NotRampedError(Exception):
    """The traffic stays as it is; the text says why. exit_code: no, but not wrongly used."""

    exit_code = 1


def ramp(home: Home, key: str, traffic: float, *, at: datetime, by: str, why: str = "by hand") -> Definition:
    """Give a running experiment a larger share of the units, in (0, 1]; the shares of its variants stay as planned.

    Whoever takes part already stays in its variant, for buckets are only added. Less traffic is refused: it would
    throw out units that are counted.
    """
    if not 0 < traffic <= 1:
        raise ValueError(f"traffic must be a share in (0, 1], got {traffic:g}")
    store = ExperimentStore(home)
    definition = store.definition(key)
    status, before = definition.experiment.status, definition.experiment.traffic
    if status not in ("draft", "running"):
        raise NotRampedError(f"experiment {key!r} is {status}: it takes no traffic any more")
    if traffic <= before:
        raise NotRampedError(
            f"experiment {key!r} has {before:.3g} of the traffic already, asked for {traffic:.3g}: traffic only grows, "
            "for less would throw out units that are counted; stop the experiment instead"
        )
    Audit(home).add(
        Change(
            at=at,
            by=by,
            experiment=key,
            action="ramp",
            before={"traffic": before},
            after={"traffic": traffic},
            why=why,
        )
    )
    ramped = replace(definition, experiment=replace(definition.experiment, traffic=traffic))
    store.save(ramped)
    Notes(home).add(key, Note(at=at, by=by, text=f"Ramped from {before:.3g} to {traffic:.3g} of the traffic."))
    return ramped


def stop(home: Home, key: str, *, at: datetime, by: str, reason: str) -> Definition:
    """Mark a running experiment as stopped; its data stays, and it can still be analysed and decided."""
    store = ExperimentStore(home)
    definition = store.definition(key)
    status = definition.experiment.status
    if status not in ("draft", "running"):
        raise NotStoppedError(f"experiment {key!r} is {status} already: there is nothing to stop")
    if not reason.strip():
        raise ValueError("stopping needs a reason, got none; it is kept among the notes")
    Audit(home).add(
        Change(
            at=at,
            by=by,
            experiment=key,
            action="stop",
            before={"status": status},
            after={"status": "stopped"},
            why=reason.strip(),
        )
    )
    Notes(home).add(key, Note(at=at, by=by, text=f"Stopped: {reason.strip()}"))
    stopped = replace(definition, experiment=replace(definition.experiment, status="stopped"))
    store.save(stopped)
    return stopped

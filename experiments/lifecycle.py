"""Stopping an experiment: a status that is kept, with who did it and why among its notes."""

from dataclasses import replace
from datetime import datetime

from experiments.home import Home
from experiments.notes import Note, Notes
from experiments.store import Definition, ExperimentStore


class NotStoppedError(Exception):
    """There is nothing to stop; the text says why. exit_code: no, but not wrongly used."""

    exit_code = 1


def stop(home: Home, key: str, *, at: datetime, by: str, reason: str) -> Definition:
    """Mark a running experiment as stopped; its data stays, and it can still be analysed and decided."""
    store = ExperimentStore(home)
    definition = store.definition(key)
    status = definition.experiment.status
    if status not in ("draft", "running"):
        raise NotStoppedError(f"experiment {key!r} is {status} already: there is nothing to stop")
    if not reason.strip():
        raise ValueError("stopping needs a reason, got none; it is kept among the notes")
    Notes(home).add(key, Note(at=at, by=by, text=f"Stopped: {reason.strip()}"))
    stopped = replace(definition, experiment=replace(definition.experiment, status="stopped"))
    store.save(stopped)
    return stopped

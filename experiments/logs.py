"""Logs: which event log a home's events are in, and opening it; whoever reads an experiment reads the one it is in."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from abtest.assignment.assigner import Assigner
from abtest.assignment.holdout import KEY
from abtest.assignment.plan import Plan
from abtest.events import LOGS
from abtest.events import pace as events_pace
from abtest.events.log import EventLog
from abtest.events.pace import Pace
from abtest.types import Experiment
from bakeoff import durable
from bakeoff.catalogue import lookup
from experiments.home import Home
from experiments.serving_config import LogConfig, load

VARIABLE = "BAKEOFF_SERVING"
"""The environment variable that names the service's configuration for the verbs that read its events."""


def open_log(home: Home, config: LogConfig, *, now: bool = True) -> EventLog:
    """The event log that the configuration names. now: false where a server that is away may come later."""
    if config.kind != "postgres":
        kind: Callable[[str | Path], EventLog] = lookup(LOGS, config.kind, "log")
        return kind(home.events)
    if not config.dsn:
        raise ValueError("log.dsn is empty; give the address of the database, such as ${BAKEOFF_POSTGRES}")
    from abtest.events.postgres import PostgresLog

    return PostgresLog(config.dsn, now=now)


def remember(home: Home, config: LogConfig) -> None:
    """Write down, without any secret, where a service of this home keeps its events."""
    if kept_in(home) != config.kind:
        durable.write_bytes(_note(home), json.dumps({"kind": config.kind}).encode())


def kept_in(home: Home) -> str:
    """Where a service of this home keeps its events: sqlite, unless one said otherwise."""
    path = _note(home)
    return str(json.loads(path.read_text())["kind"]) if path.exists() else "sqlite"


def configured(home: Home, path: Path | None) -> EventLog:
    """The log of the service's configuration, or SQLite without one; a ValueError where the events lie elsewhere.

    An empty log would read as an experiment without data.
    """
    return open_log(home, _chosen(home, path))


def pace(home: Home, path: Path | None, step: timedelta, steps: int) -> Pace:
    """How fast events come into the log that `configured` gives; one that a service has not made yet has no pace."""
    config = _chosen(home, path)
    if config.kind != "postgres":
        return events_pace.pace(home.events, step, steps)  # read only: the service writes it
    from abtest.events.postgres import PostgresLog

    with open_log(home, config) as log:
        assert isinstance(log, PostgresLog), "its configuration says so"
        return log.pace(step, steps)


def named() -> Path | None:
    """The service's configuration that the environment names, None where it names none."""
    return Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None


def _chosen(home: Home, path: Path | None) -> LogConfig:
    config, kind = load(path, []).log, kept_in(home)
    if path is None and kind != config.kind:
        raise ValueError(
            f"the events of {home.root} are kept in {kind}: give --config FILE, or set {VARIABLE} to the file that "
            f"`bakeoff serve` runs with"
        )
    return config


def counted(log: EventLog, experiment: Experiment) -> pa.Table:
    """The exposures of an experiment without those of its testers, whoever logged them.

    Of the holdout: of the units that are in the same arm still.
    """
    shown = log.exposures(experiment.key)
    if experiment.key == KEY:
        shown = still_there(shown, experiment)
    if not experiment.overrides:
        return shown
    return shown.filter(pc.invert(pc.is_in(shown["unit"], value_set=pa.array(list(experiment.overrides), pa.string()))))


def still_there(exposures: pa.Table, experiment: Experiment) -> pa.Table:
    """The exposures of the holdout whose units are in the same arm now.

    Who was let go when it was made smaller has lived in both worlds and belongs to neither arm. experiment: as
    `abtest.assignment.holdout.as_experiment` gives it.
    """
    if not len(exposures):
        return exposures
    units = exposures["unit"].combine_chunks().dictionary_encode()
    always = Plan([replace(experiment, starts=None, overrides={})])
    now = Assigner(always).assign_many(experiment.key, units.dictionary.to_pylist(), datetime.now(UTC))
    arms = np.array([*now.variants, ""])[now.variant]  # of neither arm: -1, the last
    logged = exposures["variant"].to_numpy(zero_copy_only=False)
    return exposures.filter(pa.array(arms[units.indices.to_numpy()] == logged))


def _note(home: Home) -> Path:
    return home.root / "log.json"

"""The whole line on one page: log, split, tune, fit, evaluate, register, assign, expose, analyse, decide, promote."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import chain, count
from pathlib import Path

import numpy as np

from abtest.analysis.analyse import analyse
from abtest.analysis.decide import decide
from abtest.analysis.traffic import by_day
from abtest.assignment.assigner import planned
from abtest.events import lake
from abtest.events.sqlite import SQLiteLog
from abtest.simulation.calibration import Fitted
from abtest.types import Decision, Experiment, Readout, Variant
from experiments import arrivals, logs, sensitivity
from experiments.arrivals import Arrivals
from experiments.board import Leaderboard
from experiments.config import CHAMPION, BakeoffConfig, ExperimentConfig
from experiments.home import Home
from experiments.journal import Event, Slots
from experiments.progress import Progress, silent
from experiments.promote import NotPromotedError, promote
from experiments.registry import Registry
from experiments.simulate import build_world, run_traffic
from experiments.store import Definition, ExperimentStore
from experiments.train import bake_off, finished, register
from recsys.data.sources.loaded import Loaded
from recsys.data.sources.loader import load
from recsys.data.split import Split, split


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one run of the line came to. The experiment's parts are None when there is none; note: what to know."""

    board: Leaderboard
    slots: Slots
    definition: Definition | None = None
    readout: Readout | None = None
    decision: Decision | None = None
    promotion: Event | None = None
    note: str = ""
    response: Fitted | None = None


def run(config: BakeoffConfig, home: Home, *, by: str, progress: Progress = silent) -> Outcome:
    """From the interaction log to the promoted model."""
    loaded = load_data(config)
    board = train(config, loaded, home, progress)
    registry, plan = Registry(home), config.experiment
    if plan is None:
        return Outcome(board=board, slots=registry.slots(config.name))
    if plan.control == CHAMPION and serves(plan.treatment, board, registry):
        return already_champion(board, registry.slots(config.name), home)

    definition = design(config, plan, board, loaded, home)
    response = send_traffic(definition, config, loaded, home, progress)
    readout = read(definition, home)
    decision = settle(definition, readout, home)
    promotion, note = None, ""
    if plan.promote:
        try:
            promotion = promote(definition, decision, registry, at=now(), by=by)
        except NotPromotedError as refused:
            note = f"Not promoted: {refused}"
    return Outcome(
        board=board,
        slots=registry.slots(config.name),
        definition=definition,
        readout=readout,
        decision=decision,
        promotion=promotion,
        note=note,
        response=response,
    )


def serves(variant: str, board: Leaderboard, registry: Registry) -> bool:
    """Whether this variant's version is champion already."""
    champion = registry.alias(board.name, CHAMPION)
    return champion is not None and board.standing(board.resolve(variant)).version == champion


def already_champion(board: Leaderboard, slots: Slots, home: Home) -> Outcome:
    """Nothing to test: what serves is what would be tested. Shows the experiment that made it champion, if one did."""
    store = ExperimentStore(home)
    made_by = slots.last.experiment if slots.last and slots.last.change == "promote" else ""
    record = store.record(made_by) if made_by in store.keys() else None  # noqa: SIM118 -- a store is no mapping
    return Outcome(
        board=board,
        slots=slots,
        definition=record.definition if record else None,
        readout=record.readout if record else None,
        decision=record.decision if record else None,
        note=f"Version {slots.champion} of {board.name!r} is champion already: there is nothing new to test.",
    )


def load_data(config: BakeoffConfig) -> Loaded:
    """The data set that the configuration names."""
    return load(config.data.source, **config.data.params)


def train(config: BakeoffConfig, loaded: Loaded, home: Home, progress: Progress = silent) -> Leaderboard:
    """Tune and score every variant, then register the ones that an experiment will need.

    A bake-off that has already been run, on this data and by this code, is not run again: its leaderboard stands.
    """
    board = finished(config, loaded.dataset, home)
    if board is None:
        board = bake_off(config, loaded.dataset, cut(config, loaded), home, progress)
    else:
        progress(f"bake-off of {board.at:%Y-%m-%d %H:%M} UTC still stands", 1, 1, "")
    return register(config, board, home, at=now())


def cut(config: BakeoffConfig, loaded: Loaded) -> Split:
    """The split that the configuration names."""
    return split(loaded.dataset, config.split.method, **config.split.params)


def design(config: BakeoffConfig, plan: ExperimentConfig, board: Leaderboard, loaded: Loaded, home: Home) -> Definition:
    """The experiment between the registered versions of two variants, kept in the store as running."""
    control, treatment = _side(plan.control, board, home), _side(plan.treatment, board, home)
    if control.name == treatment.name:  # the champion is an older version of the variant that challenges it
        control = replace(control, name=CHAMPION)
    starts = first_moment(loaded)
    traffic = f"seed {config.seed}, {plan.k} items, share {plan.traffic:g}, {plan.world}, from {starts:%Y-%m-%d}"
    store = ExperimentStore(home)
    key = f"{config.name}-v{treatment.payload['version']}-vs-v{control.payload['version']}"
    experiment = Experiment(
        key=_free_key(key, traffic, store),
        variants=(control, treatment),
        metrics=tuple(metric.name for metric in plan.metrics),
        traffic=plan.traffic,
        starts=starts,
        ends=starts + timedelta(days=plan.days),
        planned_units=plan.planned_units,
        status="running",
        analysis=plan.analysis,
    )
    definition = Definition(
        experiment=experiment,
        metrics=plan.metrics,
        rule=plan.decision,
        model=config.name,
        title=plan.title or f"{treatment.name} against {control.name}",
        hypothesis=plan.hypothesis,
        days=plan.days,
        traffic=traffic,
        created=now(),
    )
    store.save(definition)
    return definition


def _free_key(key: str, traffic: str, store: ExperimentStore) -> str:
    """The key, or with a number behind it when an experiment of that key had other traffic.

    The same versions, tested in another way, are another experiment: its events must not mix with those of the first.
    """
    known = store.keys()
    names = chain([key], (f"{key}-{n}" for n in count(2)))
    return next(name for name in names if name not in known or store.definition(name).traffic == traffic)


def _side(name: str, board: Leaderboard, home: Home) -> Variant:
    """One arm: half of the traffic for the registered version of a variant, or of whoever is champion."""
    registry = Registry(home)
    champion = registry.alias(board.name, CHAMPION)
    if name == CHAMPION and champion is not None:
        return Variant(
            name=registry.variant(board.name, champion) or CHAMPION,
            weight=0.5,
            payload={"model": board.name, "version": champion},
        )
    row = board.standing(board.resolve(name))
    if row.version is None:
        raise ValueError(f"{row.variant!r} of {board.name!r} has no version; run `bakeoff train` with this experiment")
    return Variant(name=row.variant, weight=0.5, payload={"model": board.name, "version": row.version})


def send_traffic(
    definition: Definition, config: BakeoffConfig, loaded: Loaded, home: Home, progress: Progress = silent
) -> Fitted | None:
    """Simulated visits through the experiment into the event log, then the log's days to the lake."""
    plan = config.experiment
    assert plan is not None, "only a configuration with an experiment has a definition"
    registry, experiment = Registry(home), definition.experiment
    assert experiment.starts is not None, "design sets it"
    packages = {v.name: registry.load(definition.model, int(v.payload["version"])) for v in experiment.variants}
    world, behaviour, fitted = build_world(loaded, plan.world, config.seed)
    with SQLiteLog(home.events) as log:
        run_traffic(
            experiment,
            packages,
            world,
            behaviour,
            log,
            start=experiment.starts,
            days=plan.days,
            k=plan.k,
            seed=config.seed,
            report=lambda day, days: progress("simulate days", day, days, ""),
        )
        lake.export(log, home.lake)
    return fitted


def read(definition: Definition, home: Home, as_of: datetime | None = None, serving: Path | None = None) -> Readout:
    """The readout of an experiment from its event log, kept in the store with all that a page shows beside it.

    serving: the configuration of the service that logged it; None where that is SQLite in the home.
    """
    key = definition.experiment.key
    # simulated traffic goes to the home's own log, wherever a service keeps its events
    with SQLiteLog(home.events) if definition.traffic else logs.configured(home, serving) as log:
        exposures, outcomes = logs.counted(log, definition.experiment), log.outcomes(key)
    # the sample ratio is checked against what all stages of the weights come to
    experiment = planned(definition.experiment)
    readout = analyse(experiment, definition.metrics, exposures, outcomes, as_of=as_of or now())
    ExperimentStore(home).save_readout(readout)
    counts = by_day(definition.experiment, exposures, as_of=readout.as_of)
    arrivals.save(home, key, Arrivals(as_of=readout.as_of, days=counts))
    sensitivity.save(home, sensitivity.sensitivity(definition, readout, exposures, outcomes))
    return readout


def settle(definition: Definition, readout: Readout, home: Home) -> Decision:
    """The decision on a readout by the experiment's own rule, kept in the store."""
    decision = decide(readout, definition.rule, at=now())
    ExperimentStore(home).save_decision(decision)
    return decision


def first_moment(loaded: Loaded) -> datetime:
    """The first midnight after the log's last event: simulated time goes on where the log ends."""
    last = loaded.dataset.interactions.time.max().astype("datetime64[D]") + np.timedelta64(1, "D")
    return datetime.fromisoformat(str(last)).replace(tzinfo=UTC)


def now() -> datetime:
    """The clock. Nothing below `experiments` reads one."""
    return datetime.now(UTC)

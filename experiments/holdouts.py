"""What the global holdout says: everything that was shipped and that runs, together, against who got none of it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from abtest.analysis.measures import attributes, without_covariate
from abtest.assignment.holdout import EVERYBODY, HELD_OUT, as_experiment
from abtest.service.ports import Change
from abtest.types import AnalysisPlan, Holdout, Metric, Readout
from experiments import loop
from experiments.home import Home
from experiments.journal import Event, Journal
from experiments.proposals import book_of
from experiments.store import Definition, ExperimentStore

ALWAYS_VALID = AnalysisPlan()
"""Looked at for a year, whenever somebody likes: intervals by day that allow it, corrected over the metrics."""


@dataclass(frozen=True, kw_only=True)
class Held:
    """The holdout as it stands, and all that its readout must tell of it.

    baseline: model -> the version that the held out are given; changes: of the holdout since it began; shipped: the
    versions that became champion since then.
    """

    holdout: Holdout
    definition: Definition
    baseline: dict[str, int]
    changes: tuple[Change, ...]
    shipped: tuple[Event, ...]


def held(home: Home, at: datetime) -> Held:
    """The holdout of a home as an experiment on the metrics of all others; a ValueError where nobody is held out."""
    book, known = book_of(home, ""), ExperimentStore(home).records()
    holdout = book.holdout()
    experiment = as_experiment(holdout)
    if experiment is None:
        raise ValueError("nobody is held out, so there is nothing to compare: `bakeoff experiment holdout 0.05` begins")
    definitions = [record.definition for record in known if record.definition.experiment.status != "draft"]
    metrics = _metrics(definitions)
    if not metrics:
        raise ValueError("no experiment was started here, and the holdout is read on their metrics: start one")
    since, testers = holdout.since, {unit for one in definitions for unit in one.experiment.overrides}
    moves = [move for move in Journal(home).events() if since is None or move.at >= since]
    return Held(
        holdout=holdout,
        definition=Definition(
            experiment=replace(
                experiment,
                metrics=tuple(metric.name for metric in metrics),
                starts=since,
                analysis=ALWAYS_VALID,
                # what testers saw is counted nowhere
                overrides=dict.fromkeys(testers, HELD_OUT),
            ),
            metrics=metrics,
            rule=definitions[0].rule,
            model="",
            title="Everybody else against who was held out from everything",
            created=since or at,
        ),
        baseline={model: int(version) for model, version in holdout.baseline.items()},
        changes=tuple(change for change in book.holdout_audit() if since is None or change.at >= since),
        shipped=tuple(move for move in moves if move.change == "promote" and move.alias == "champion"),
    )


def read(home: Home, at: datetime, serving: Path | None = None) -> tuple[Held, Readout]:
    """The holdout and its readout from the event log, kept as that of any experiment.

    serving: the configuration of the service that logged it; None where that is SQLite in the home.
    """
    found = held(home, at)
    readout = loop.read(found.definition, home, as_of=at, serving=serving)
    readout = replace(readout, warnings=(*readout.warnings, *cautions(found)))
    ExperimentStore(home).save_readout(readout)
    return found, readout


def facts(found: Held) -> tuple[str, ...]:
    """What the effects are the effects of, in sentences."""
    share, since = found.holdout.share, found.holdout.since
    began = "" if since is None else f" since {since:%Y-%m-%d}"
    baseline = ", ".join(f"v{version} of {model}" for model, version in sorted(found.baseline.items()))
    shipped = ", ".join(f"v{move.version} of {move.model} on {move.at:%Y-%m-%d}" for move in found.shipped)
    return (
        f"{share:.3g} of the units are held out{began}, and compared with a sample of the others: {EVERYBODY} minus "
        f"{HELD_OUT} is what all that was shipped and all that runs does together.",
        *([f"The held out are given {baseline}, or what it was rolled back to."] if baseline else []),
        f"Shipped in this time: {shipped or 'nothing'}.",
    )


def cautions(found: Held) -> tuple[str, ...]:
    """What a reader of the effects must know, in sentences; empty when all is well."""
    said = []
    steps = [
        f"from {c.before['share']:.3g} to {c.after['share']:.3g} on {c.at:%Y-%m-%d}"
        for c in found.changes
        if c.after["share"] < c.before["share"]
    ]
    if steps:
        said.append(
            f"The holdout was made smaller ({', '.join(steps)}): whoever was let go is in neither arm, and the others "
            "were in theirs all along."
        )
    if not found.baseline:
        said.append(
            "No model had a champion when the holdout began, so the held out are given that of the day: what was "
            "shipped is not in the effects, only what runs."
        )
    return tuple(said)


def _metrics(definitions: Sequence[Definition]) -> tuple[Metric, ...]:
    """The metrics of the experiments, each name once, as the newest that has it defines it.

    Columns of a table of units are no part of the log: covariates that name them are left out.
    """
    named: dict[str, Metric] = {}
    for definition in definitions:  # newest first
        for metric in definition.metrics:
            named.setdefault(metric.name, without_covariate(metric) if attributes([metric]) else metric)
    return tuple(named.values())

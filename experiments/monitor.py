"""The monitor: looks at running experiments, alarms when something is wrong, stops what is surely harmful."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from abtest.analysis.analyse import analyse
from abtest.analysis.decide import guard, judge, may_look
from abtest.analysis.words import label, percent
from abtest.assignment.assigner import planned
from abtest.events.log import EventLog
from abtest.types import Comparison, Readout
from bakeoff import durable
from bakeoff.records import from_json, to_json
from experiments import logs
from experiments.administration import StoredBook
from experiments.home import Home
from experiments.package import Package
from experiments.slate_drift import slate_drift
from experiments.store import Definition, ExperimentStore

Kind = Literal["guardrail", "validity", "drift"]
BY = "monitor"
QUIET = timedelta(days=1)
"""How long the same alarm is not written again."""
RECENT = timedelta(days=1)
"""The slates whose drift is measured."""


@dataclass(frozen=True, kw_only=True)
class Alert:
    """One alarm. name: the metric, check or measure; certain: by a test that may be looked at as often as one likes;
    stopped: the experiment was stopped for it."""

    at: datetime
    experiment: str
    kind: Kind
    name: str
    variant: str
    says: str
    certain: bool = False
    stopped: bool = False


class Alerts:
    """The alarms of a home, in alerts.jsonl, one JSON object a line."""

    def __init__(self, home: Home) -> None:
        self.path = home.root / "alerts.jsonl"

    def all(self) -> list[Alert]:
        """Every alarm, oldest first; a line that a crash cut short is left out."""
        if not self.path.exists():
            return []
        return [from_json(Alert, line) for line in self.path.read_bytes().split(b"\n")[:-1] if line.strip()]

    def add(self, alerts: Iterable[Alert]) -> list[Alert]:
        """Write those that were not written within the last day, and return them."""
        last = {_same(alert): alert.at for alert in self.all()}
        new = [a for a in alerts if a.stopped or _same(a) not in last or a.at - last[_same(a)] >= QUIET]
        for alert in new:
            durable.append_line(self.path, to_json(Alert, alert, indent=None))
        return new


def watch(
    home: Home,
    log: EventLog,
    book: StoredBook,
    load: Callable[[int], Package],
    *,
    model: str,
    now: datetime,
    stop: bool = False,
    seed: int = 0,
) -> list[Alert]:
    """Look once at every running experiment of a model; the readouts are kept, so that the dashboard shows them too.

    stop: stop an experiment one of whose guardrails is broken with certainty: the analysis plan allows looking at any
    time, and the whole interval lies beyond the margin. load: the package of a version.
    """
    store, found = ExperimentStore(home), []
    for key in book.snapshot.running:
        definition = store.definition(key)
        if definition.model != model:
            continue
        exposures = logs.counted(log, definition.experiment)
        readout = analyse(planned(definition.experiment), definition.metrics, exposures, log.outcomes(key), as_of=now)
        store.save_readout(readout)
        alarms = [*of_guardrails(definition, readout, now), *of_validity(readout, now)]
        alarms += of_drift(definition, exposures, load, now, np.random.default_rng(seed))
        harmful = [alarm for alarm in alarms if alarm.kind == "guardrail" and alarm.certain]
        if stop and harmful:
            book.change(key, "stop", by=BY, why=harmful[0].says)
            alarms = [_stopped(alarm) if alarm in harmful else alarm for alarm in alarms]
        found += alarms
    return Alerts(home).add(found)


def of_guardrails(definition: Definition, readout: Readout, now: datetime) -> list[Alert]:
    """The guardrails that are shown broken, from the evidence that may be acted on now."""
    certain = readout.analysis.sequential != "none" and may_look(readout)
    return [
        Alert(
            at=now,
            experiment=readout.experiment,
            kind="guardrail",
            name=comparison.metric.name,
            variant=comparison.variant,
            says=_broken(comparison),
            certain=certain,
        )
        for case in judge(readout, definition.rule)
        for comparison in case.broken
        if guard(comparison) == "broken"
    ]


def of_validity(readout: Readout, now: datetime) -> list[Alert]:
    """The checks that say that the numbers must not be read."""
    return [
        Alert(at=now, experiment=readout.experiment, kind="validity", name=check.name, variant="", says=check.says)
        for check in readout.checks
        if check.fatal
    ]


def of_drift(
    definition: Definition,
    exposures: pa.Table,
    load: Callable[[int], Package],
    now: datetime,
    rng: np.random.Generator,
) -> list[Alert]:
    """How far the last day's slates of each variant are from what its version showed its training users."""
    alarms = []
    recent = exposures.filter(pc.greater_equal(exposures["at"], pa.scalar(now - RECENT, exposures["at"].type)))
    for variant in definition.experiment.variants:
        if "version" not in variant.payload:
            continue
        package = load(int(variant.payload["version"]))
        slates = recent.filter(pc.equal(recent["variant"], variant.name))
        alarms += [
            Alert(
                at=now,
                experiment=definition.experiment.key,
                kind="drift",
                name=drift.name,
                variant=variant.name,
                says=f"{drift.name} of {variant.name} drifted: {drift.value:.2f}, the alarm is at {drift.alarm:g}",
            )
            for drift in slate_drift(package, slates, rng=rng)
            if drift.alarming
        ]
    return alarms


def _broken(comparison: Comparison) -> str:
    effect, metric = comparison.effect, comparison.metric
    low, high = effect.relative_ci
    return (
        f"Guardrail {label(metric)} of {comparison.variant} is broken: {percent(effect.relative)} "
        f"({percent(low)} to {percent(high)}), beyond the margin of {percent(metric.margin)}."
    )


def _stopped(alarm: Alert) -> Alert:
    return Alert(**{**vars(alarm), "stopped": True})


def _same(alert: Alert) -> tuple[str, str, str, str]:
    return alert.experiment, alert.kind, alert.name, alert.variant

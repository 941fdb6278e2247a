"""The monitor: alarms at harm and drift that were planted, silent where nothing was; stops only what is sure."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from abtest.analysis.metrics import load_metrics
from abtest.assignment.assigner import Assigner
from abtest.assignment.plan import Plan
from abtest.events.log import EventLog
from abtest.events.memory import MemoryLog
from abtest.types import AnalysisPlan, DecisionRule, Experiment, Exposure, Outcome, Variant
from experiments.administration import StoredBook
from experiments.home import Home
from experiments.monitor import Alert, Alerts, watch
from experiments.package import Package
from experiments.slate_drift import LEAST, slate_drift, stability_index
from experiments.store import Definition, ExperimentStore
from recsys.data.sources.loaded import Loaded
from recsys.models.base import create
from tests.experiments.conftest import packed

START = datetime(2025, 3, 3, tzinfo=UTC)
NOW = START + timedelta(days=6)
METRICS = load_metrics(
    {
        "metrics": {
            "clicks": {"kind": "proportion", "numerator": "click", "role": "primary"},
            "returns": {
                "kind": "proportion", "numerator": "return",
                "role": "guardrail", "direction": "decrease", "margin": 0.1,
            },
        }
    }
)  # fmt: skip


@pytest.fixture(scope="module")
def package(loaded: Loaded) -> Package:
    return packed(loaded.dataset, create("item_knn", neighbours=20))


def running(home: Home, sequential: str = "confidence_sequence") -> Experiment:
    variants = tuple(Variant(name=f"v{n}", weight=0.5, payload={"model": "m", "version": n}) for n in (1, 2))
    experiment = Experiment(
        key="e", variants=variants, metrics=("clicks", "returns"), status="running", planned_units=20_000,
        analysis=AnalysisPlan(sequential=sequential),  # type: ignore[arg-type]
    )  # fmt: skip
    definition = Definition(
        experiment=experiment, metrics=METRICS, rule=DecisionRule(), model="m", title="e", created=START
    )
    ExperimentStore(home).save(definition)
    return experiment


def traffic(experiment: Experiment, package: Package, *, harm: float, n: int = 3_000) -> EventLog:
    """Slates of the package's own users, days apart; a tenth returns something, `harm` more in the second arm."""
    rng, assigner = np.random.default_rng(4), Assigner(Plan([experiment]))
    lists = package.answer(rng.integers(len(package.users), size=n).astype(np.int32), 5)
    events: list[Exposure | Outcome] = []
    for row in range(n):
        unit, at = f"u{row}", START + timedelta(days=6 * row / n)
        variant = assigner.assign("e", unit, at).variant
        assert variant is not None
        items, scores = package.items.ids[lists.items[row]].tolist(), lists.scores[row].tolist()
        events.append(
            Exposure(
                id=unit, unit=unit, experiment="e", variant=variant, at=at, items=tuple(items), scores=tuple(scores)
            )
        )
        for kind, chance in (("click", 0.3), ("return", 0.1 + harm * (variant == "v2"))):
            if rng.random() < chance:
                events.append(Outcome(id=f"{unit}-{kind}", unit=unit, kind=kind, at=at + timedelta(minutes=1)))
    log = MemoryLog()
    log.append(events)
    return log


def look(home: Home, log: EventLog, package: Package, *, stop: bool, now: datetime = NOW) -> list[Alert]:
    book = StoredBook(home, "m", now=lambda: now, serves=lambda _: True, prepare=lambda _: None)
    return watch(home, log, book, lambda version: package, model="m", now=now, stop=stop)


def of(alerts: Iterable[Alert], kind: str) -> list[Alert]:
    return [alert for alert in alerts if alert.kind == kind]


def test_planted_harm_stops_the_experiment_and_the_audit_says_who_and_why(home: Home, package: Package) -> None:
    log = traffic(running(home), package, harm=0.2)
    (alert,) = of(look(home, log, package, stop=True), "guardrail")
    assert (alert.name, alert.variant, alert.certain, alert.stopped) == ("returns", "v2", True, True)
    assert "beyond the margin of 10%" in alert.says
    assert ExperimentStore(home).definition("e").experiment.status == "stopped"
    book = StoredBook(home, "m", now=lambda: NOW, serves=lambda _: True, prepare=lambda _: None)
    (change,) = book.audit("e")
    assert (change.by, change.action, change.why) == ("monitor", "stop", alert.says)
    assert Alerts(home).all() == [alert, *Alerts(home).all()[1:]]
    assert ExperimentStore(home).record("e").readout is not None


def test_without_being_told_to_it_only_alarms_and_does_not_repeat_itself(home: Home, package: Package) -> None:
    log = traffic(running(home), package, harm=0.2)
    assert len(of(look(home, log, package, stop=False), "guardrail")) == 1
    assert of(look(home, log, package, stop=False, now=NOW + timedelta(hours=3)), "guardrail") == []
    assert len(of(look(home, log, package, stop=False, now=NOW + timedelta(hours=25)), "guardrail")) == 1
    assert ExperimentStore(home).definition("e").experiment.status == "running"


def test_no_harm_no_alarm(home: Home, package: Package) -> None:
    alerts = look(home, traffic(running(home), package, harm=0.0), package, stop=True)
    assert of(alerts, "guardrail") == of(alerts, "validity") == []
    assert ExperimentStore(home).definition("e").experiment.status == "running"


def test_what_may_not_be_looked_at_early_stops_nothing(home: Home, package: Package) -> None:
    log = traffic(running(home, sequential="none"), package, harm=0.2)
    look(home, log, package, stop=True)
    assert ExperimentStore(home).definition("e").experiment.status == "running"


def test_a_split_that_is_not_as_planned_is_an_alarm_and_no_stop(home: Home, package: Package) -> None:
    log = traffic(running(home), package, harm=0.0)
    shown = log.exposures().to_pylist()
    skewed = MemoryLog()
    kept = [row for n, row in enumerate(shown) if row["variant"] == "v1" or n % 3]
    skewed.append(
        [Exposure(id=r["id"], unit=r["unit"], experiment="e", variant=r["variant"], at=r["at"]) for r in kept]
    )
    alerts = look(home, skewed, package, stop=True)
    assert of(alerts, "validity")
    assert ExperimentStore(home).definition("e").experiment.status == "running"


# drift


def slates(package: Package, n: int = 600, **changes: object) -> EventLog:
    experiment = Experiment(
        key="e", variants=(Variant(name="v1", weight=0.5), Variant(name="v2", weight=0.5)), status="running"
    )
    log = MemoryLog()
    source = traffic(experiment, package, harm=0.0, n=n)
    known = np.random.default_rng(1).choice(package.users.ids, n)
    rows = source.exposures().to_pylist()
    log.append(
        [
            replace(
                Exposure(
                    id=row["id"], unit=str(known[n]), experiment="e", variant="v1", at=row["at"],
                    items=tuple(row["items"]), scores=tuple(row["scores"]),
                ),
                **changes,  # type: ignore[arg-type]
            )
            for n, row in enumerate(rows)
        ]
    )  # fmt: skip
    return log


def alarms(package: Package, log: EventLog) -> set[str]:
    return {
        drift.name for drift in slate_drift(package, log.exposures(), rng=np.random.default_rng(2)) if drift.alarming
    }


def test_the_versions_own_slates_have_not_drifted(package: Package) -> None:
    assert alarms(package, slates(package)) == set()


def test_each_planted_drift_is_told_by_its_name(package: Package) -> None:
    rare = package.items.ids[np.argsort(np.bincount(package.histories.item, minlength=len(package.items)))[:5]]
    assert "popularity" in alarms(package, slates(package, items=tuple(rare.tolist())))
    assert alarms(package, slates(package, scores=(9.0, 8.0, 7.0, 6.0, 5.0))) == {"scores"}
    assert alarms(package, slates(package, unit="nobody")) == {"newcomers"}
    assert alarms(package, slates(package, context={"fallback": True})) == {"fallbacks"}


def test_too_few_slates_say_nothing(package: Package) -> None:
    drifts = slate_drift(package, slates(package, LEAST - 1).exposures(), rng=np.random.default_rng(2))
    assert all(np.isnan(drift.value) and drift.reason for drift in drifts)


def test_the_stability_index_by_hand() -> None:
    p, q = np.array([100, 300]), np.array([300, 100])
    a, b = 100.5 / 401, 300.5 / 401
    assert stability_index(p, q) == pytest.approx((a - b) * np.log(a / b) * 2)

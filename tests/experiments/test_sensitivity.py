"""The same effects computed in other ways, on a log whose every number can be counted by hand."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from abtest.analysis.analyse import analyse
from abtest.events.memory import MemoryLog
from abtest.types import Comparison, Experiment, Exposure, Metric, Outcome, Variant
from experiments import sensitivity
from experiments.home import Home
from experiments.sensitivity import Sensitivity
from experiments.store import Definition
from tests.dashboards.worlds import definition

START = datetime(2025, 1, 6, tzinfo=UTC)
CONVERSION = Metric(name="conversion", kind="proportion", numerator="purchase", role="primary")
REVENUE = Metric(name="revenue", kind="mean", numerator="purchase.value")


def experiment(*metrics: Metric, planned: int | None = None) -> Definition:
    made = Experiment(
        key="e",
        variants=(Variant(name="control", weight=0.5), Variant(name="treatment", weight=0.5)),
        metrics=tuple(metric.name for metric in metrics),
        planned_units=planned,
    )
    return replace(definition("e"), experiment=made, metrics=metrics)


def logged(n: int = 200, *, whale: float = 0.0, fallbacks: bool = False) -> MemoryLog:
    """Every second unit of each arm buys for 10; one treated unit for `whale` more; every tenth has a fallback slate
    beside its own, and buys because of it."""
    log = MemoryLog()
    for number in range(n):
        unit, variant = f"u{number}", ("control", "treatment")[number % 2]
        shown = [(f"own {number}", False), (f"fallback {number}", True)][: 1 + (fallbacks and number % 10 == 0)]
        log.append(
            [
                Exposure(id=name, unit=unit, experiment="e", variant=variant, at=START, context={"fallback": filled})
                for name, filled in shown
            ]
        )
        if number % 4 < 2 or len(shown) == 2:
            value, at = 10.0 + (whale if number == 1 else 0.0), START + timedelta(hours=1)
            log.append(
                [Outcome(id=f"b{number}", unit=unit, kind="purchase", at=at, value=value, exposure=shown[-1][0])]
            )
    return log


def views(found: Definition, log: MemoryLog) -> Sensitivity:
    exposures, outcomes = log.exposures("e"), log.outcomes("e")
    readout = analyse(found.experiment, found.metrics, exposures, outcomes, as_of=START + timedelta(days=2))
    return sensitivity.sensitivity(found, readout, exposures, outcomes)


def effect(found: Sensitivity, view: str, metric: str) -> Comparison:
    (named,) = (one for one in found.views if one.name == view)
    return next(one for one in named.effects if one.metric.name == metric)


def test_cap_takes_one_large_buyer_out_of_the_effect() -> None:
    found = views(experiment(CONVERSION, REVENUE), logged(whale=10_000.0))
    assert [view.name for view in found.views] == ["capped"]
    assert [one.metric.name for one in found.views[0].effects] == ["revenue"]  # a proportion has nothing to cap
    capped = effect(found, "capped", "revenue").effect
    assert capped.control == pytest.approx(5.0)
    assert capped.treatment == pytest.approx(5.0, abs=0.1)


def test_cap_of_the_plan_can_be_lifted() -> None:
    found = views(experiment(replace(REVENUE, cap=20.0)), logged(whale=10_000.0))
    assert [view.name for view in found.views] == ["uncapped"]
    assert effect(found, "uncapped", "revenue").effect.treatment == pytest.approx(5.0 + 10_000.0 / 100)


def test_fallback_slates_are_left_out_with_what_came_of_them() -> None:
    found = views(experiment(CONVERSION), logged(fallbacks=True))
    (view,) = found.views
    assert view.name == "without fallback slates"
    assert "16.7% of control, 0.0% of treatment" in view.says
    # without them, of 100 controls 20 bought because of a fallback: 10 of these would have bought anyway
    assert effect(found, view.name, "conversion").effect.control == pytest.approx(0.40)
    assert effect(found, view.name, "conversion").effect.treatment == pytest.approx(0.50)


def test_where_nothing_can_be_computed_otherwise_there_is_no_view() -> None:
    assert views(experiment(CONVERSION), logged()).views == ()


def test_empty_log_is_no_error() -> None:
    assert [view.name for view in views(experiment(REVENUE), MemoryLog()).views] == ["capped"]


def test_intervals_wait_for_the_planned_sample() -> None:
    assert not views(experiment(REVENUE, planned=1_000), logged()).complete
    assert views(experiment(REVENUE, planned=200), logged()).complete


def test_views_are_kept_beside_the_readout(tmp_path: Path) -> None:
    home = Home.at(tmp_path)
    assert sensitivity.load(home, "e") is None
    found = views(experiment(REVENUE), logged(whale=5.0))
    sensitivity.save(home, found)
    assert sensitivity.load(home, "e") == found
    (home.experiments / "e" / "sensitivity.json").write_text("{")
    with pytest.raises(ValueError, match=r"sensitivity\.json is damaged; `bakeoff analyse e` writes it anew"):
        sensitivity.load(home, "e")

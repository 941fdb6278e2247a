"""Is the experiment sound: each check silent on a sound one, and loud on the fault it is made for."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from abtest.analysis.analyse import analyse, analyse_units
from abtest.analysis.decide import decide
from abtest.types import AnalysisPlan, Check, DecisionRule, Metric, Readout
from tests.abtest.analysis.worlds import AS_OF, METRICS, Events, events, experiment, exposure, make_world, outcome

CLICKS = Metric(name="clicks", kind="mean", numerator="click", role="primary")
RULE = DecisionRule(min_days=1, min_units=10)


def check(readout: Readout, name: str) -> Check:
    return next(check for check in readout.checks if check.name == name)


def read(world: Events, *metrics: Metric, **plan: Any) -> Readout:
    made = experiment(analysis=AnalysisPlan(**plan))
    return analyse(made, metrics or METRICS, world.exposures, world.outcomes, as_of=AS_OF)


def test_a_sound_experiment_raises_no_alarm(world: Events) -> None:
    readout = read(world, segments=("context.device",))
    assert [check.name for check in readout.checks] == [
        "sample ratio",
        "sample ratio at every look",
        "sample ratio by day",
        "trend of CTR",
        "sample ratio by context.device",
        "extreme units",
    ]
    assert not any(check.alarm or check.fatal for check in readout.checks)


def drifting(n: int = 6_000) -> Events:
    """As many units in both arms at the end, but the first half of the time in one and the second in the other."""
    rng = np.random.default_rng(2)
    shown = []
    for u in range(n):
        early = u < n // 2
        share = 0.6 if early else 0.4
        shown.append(exposure(f"u{u}", "control" if rng.random() < share else "treatment", (u / n) * 240))
    return events(shown, [])


def test_a_split_that_evens_out_in_the_end_is_caught_on_the_way() -> None:
    readout = read(drifting(), CLICKS)
    assert not check(readout, "sample ratio").alarm
    always = check(readout, "sample ratio at every look")
    assert always.fatal
    assert "The split went wrong on 2024-03-0" in always.says
    assert check(readout, "sample ratio by day").alarm
    decision = decide(readout, RULE, AS_OF)
    assert decision.verdict == "invalid"
    assert always.says in decision.reasons
    assert always.says in readout.warnings


def test_a_split_that_is_off_in_one_segment_is_named() -> None:
    rng = np.random.default_rng(1)
    country = rng.choice(["SE", "NO"], 8_000)
    treated = rng.random(8_000) < np.where(country == "SE", 0.58, 0.42)
    units = pa.table({"variant": np.where(treated, "treatment", "control"), "click": rng.random(8_000), "c": country})
    made = experiment(analysis=AnalysisPlan(segments=("c",)))
    found = check(analyse_units(made, (CLICKS,), units, as_of=AS_OF), "sample ratio by c")
    assert found.alarm
    assert found.says.startswith("The split is off where c is ")


def test_arms_that_differed_before_are_invalid() -> None:
    rng = np.random.default_rng(3)
    variant = np.repeat(["control", "treatment"], 2_000)
    before = rng.normal(10 + (variant == "treatment"), 3.0)
    units = pa.table({"variant": variant, "click": before + rng.normal(0, 1, 4_000), "past": before})
    metric = Metric(name="clicks", kind="mean", numerator="click", role="primary", covariate="past")
    readout = analyse_units(experiment(), (metric,), units, as_of=AS_OF)
    found = check(readout, "carry-over")
    assert found.fatal
    assert "treatment already differed from control in clicks" in found.says
    assert decide(readout, RULE, AS_OF).verdict == "invalid"


def test_one_unit_that_makes_the_average_is_named() -> None:
    rng = np.random.default_rng(4)
    values = rng.exponential(5.0, 4_000)
    values[7] = 5_000.0
    units = pa.table({"variant": np.tile(["control", "treatment"], 2_000), "click": values})
    readout = analyse_units(experiment(), (CLICKS,), units, as_of=AS_OF)
    found = check(readout, "extreme units")
    assert found.alarm
    assert not found.fatal
    assert "One unit of treatment with 5,000 makes 100% of the spread of clicks" in found.says
    capped = Metric(name="clicks", kind="mean", numerator="click", cap_quantile=0.999)
    assert not check(analyse_units(experiment(), (capped,), units, as_of=AS_OF), "extreme units").alarm


def wearing_off(late_lift: float) -> Events:
    """Everyone is exposed on the first day and clicks for two weeks; the lift of 40% is late_lift in the second."""
    rng = np.random.default_rng(5)
    shown, done = [], []
    for u in range(1_500):
        treated = u % 2
        shown.append(exposure(f"u{u}", ("control", "treatment")[treated], float(rng.uniform(0, 20))))
        for day in range(28):
            rate = 0.5 * (1 + treated * (0.4 if day < 7 else late_lift))
            done += [outcome(f"u{u}", "click", 21 + 24 * day + h) for h in rng.uniform(0, 2, rng.poisson(rate))]
    return events(shown, done)


@pytest.mark.parametrize(("late_lift", "alarm"), [(0.0, True), (0.4, False)])
def test_a_lift_that_wears_off_is_told_from_one_that_lasts(late_lift: float, alarm: bool) -> None:
    found = check(read(wearing_off(late_lift), CLICKS), "trend of clicks")
    assert found.alarm == alarm
    assert ("changes as units get used to it" if alarm else "lasts") in found.says
    assert "first 6 days" in found.says  # a quarter of the run


def test_arms_that_share_a_stock_are_warned_of() -> None:
    readout = read(events([exposure("a", "control", 0), exposure("b", "treatment", 0)], []), CLICKS, shared_stock=True)
    assert check(readout, "interference").alarm
    assert any("share one stock" in warning for warning in readout.warnings)


def test_false_alarms_are_rare() -> None:
    alarms = [
        check.name
        for seed in range(12)
        for check in read(make_world(400, seed=100 + seed), *METRICS[:3]).checks
        if check.alarm
    ]
    assert alarms == []

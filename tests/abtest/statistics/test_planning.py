import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.power import NormalIndPower
from statsmodels.stats.proportion import power_proportions_2indep

from abtest.statistics import power, sequential, spending
from abtest.statistics.moments import Moments
from abtest.statistics.planning import (
    Baseline,
    Design,
    chance,
    critical,
    days_for,
    detectable_lift,
    growth_for,
    power_curve,
    units,
)

MEAN = Baseline(value=2.0, variance=25.0)
RATE = Baseline(value=0.1, variance=0.09, proportion=True)
DESIGNS = {
    "once": Design(),
    "uneven": Design(shares=(0.8, 0.2), power=0.9),
    "planned looks": Design(looks="planned"),
    "any time": Design(looks="any time"),
    "several arms": Design(shares=(0.4, 0.3, 0.3), comparisons="dunnett"),
    "bonferroni": Design(shares=(0.25,) * 4, comparisons="bonferroni"),
    "cuped": Design(variance_saved=0.4),
    "clusters": Design(cluster=20, intraclass=0.05),
}


@pytest.mark.parametrize("share", [0.5, 0.8])
def test_means_agree_with_statsmodels(share: float) -> None:
    found = units(Design(shares=(share, 1 - share)), MEAN, 0.1) * share
    assert found == pytest.approx(
        NormalIndPower().solve_power(0.04, power=0.8, alpha=0.05, ratio=(1 - share) / share), rel=1e-8
    )


@pytest.mark.parametrize("lift", [0.1, -0.2])
def test_proportions_agree_with_statsmodels(lift: float) -> None:
    n = units(Design(), RATE, lift)
    assert power_proportions_2indep(0.1 * lift, 0.1, n / 2).power == pytest.approx(0.8, abs=1e-6)
    assert chance(Design(), RATE, lift, 5_000) == pytest.approx(
        power_proportions_2indep(0.1 * lift, 0.1, 2_500).power, abs=1e-6
    )


def test_the_simplest_design_is_the_simple_formula() -> None:
    history = Moments(("numerator",), np.array(1_000), np.array([2.0]), np.array([[999 * 25.0]]))
    baseline = Baseline.of(history)
    assert units(Design(), baseline, 0.1) / 2 == pytest.approx(power.units_per_arm(history, 0.1), rel=1e-5)
    assert chance(Design(), baseline, 0.1, 9_000) == pytest.approx(power.power_of(history, 0.1, 9_000), rel=1e-9)


@pytest.mark.parametrize("name", DESIGNS)
@pytest.mark.parametrize("baseline", [MEAN, RATE], ids=["mean", "rate"])
def test_the_three_questions_answer_each_other(name: str, baseline: Baseline) -> None:
    design = DESIGNS[name]
    n = units(design, baseline, 0.07)
    assert chance(design, baseline, 0.07, n) == pytest.approx(design.power, abs=1e-6)
    assert detectable_lift(design, baseline, n) == pytest.approx(0.07, rel=1e-5)


def test_what_each_choice_costs() -> None:
    fixed = units(Design(), MEAN, 0.1)
    needed = {name: units(design, MEAN, 0.1) / fixed for name, design in DESIGNS.items()}
    assert needed["planned looks"] == pytest.approx(spending.inflation(Design().fractions), rel=1e-6)
    assert 1.0 < needed["planned looks"] < 1.06 < 1.6 < needed["any time"] < 1.8
    assert needed["cuped"] == pytest.approx(0.6)
    assert needed["clusters"] == pytest.approx(1 + 19 * 0.05)
    dunnett = units(Design(shares=(0.25,) * 4, comparisons="dunnett"), MEAN, 0.1) / fixed
    assert units(Design(shares=(0.25,) * 4), MEAN, 0.1) / fixed < dunnett < needed["bonferroni"]


def test_the_planned_test_is_the_one_that_is_done() -> None:
    looks = Design().fractions
    assert critical(Design(looks="planned")) == pytest.approx(spending.boundaries(looks))
    done = sequential.boundary(np.array(looks) * 5_000, 0.05, sequential.TUNED_SHARE * 5_000)
    assert critical(Design(looks="any time")) == pytest.approx(done)


def test_non_inferiority_needs_room_and_not_an_effect() -> None:
    design = Design(margin=0.1)
    n = units(design, MEAN, 0.0)
    assert n == pytest.approx(units(Design(), MEAN, 0.1), rel=1e-4)
    assert chance(design, MEAN, 0.0, n) == pytest.approx(0.8)
    assert chance(design, MEAN, -0.1, n) == pytest.approx(0.025)
    assert detectable_lift(design, MEAN, n) == pytest.approx(0.0, abs=1e-9)
    assert units(design, MEAN, -0.2) == math.inf


def test_a_simulated_plan_keeps_its_power(rng: np.random.Generator) -> None:
    design = Design(looks="any time", fractions=(0.25, 0.5, 0.75, 1.0))
    n = units(design, MEAN, 0.1)
    steps = rng.normal(0.2 / 4, 10 / math.sqrt(4 * n), (20_000, 4))  # of the difference, a quarter of the units each
    z = steps.cumsum(axis=1) / np.sqrt(np.arange(1, 5)) / (10 / math.sqrt(4 * n))
    assert (np.abs(z) > critical(design)).any(axis=1).mean() == pytest.approx(0.8, abs=0.012)


@settings(max_examples=20, deadline=None)
@given(st.floats(0.01, 0.5), st.floats(1.1, 3.0))
def test_smaller_lifts_need_more(lift: float, times: float) -> None:
    assert units(Design(), MEAN, lift) == pytest.approx(times**2 * units(Design(), MEAN, lift * times), rel=1e-6)


def test_power_curves_rise() -> None:
    curve = power_curve(Design(looks="planned"), MEAN, [0.0, 0.05, 0.1, 0.2], 20_000)
    assert curve[0] == pytest.approx(0.05, abs=1e-9)
    assert (np.diff(curve) > 0).all()


def test_days_follow_the_curve_of_arrivals() -> None:
    assert days_for(150, [100, 200, 300]) == 1.5
    assert days_for(1_000, [100, 200, 300]) == 10.0
    assert days_for(5, [0, 0, 10]) == 2.5
    # new units get rarer: only the last week counts
    assert days_for(2_070, [*[1_000.0], *[1_000.0 + 10 * k for k in range(1, 8)]]) == 108.0
    assert days_for(11, [10, 10, 10, 10, 10, 10, 10, 10, 10]) == math.inf
    assert math.isnan(days_for(10, []))


def test_growth_is_what_the_standard_error_lacks() -> None:
    assert growth_for(Design(), 2.8015852, 1.0) == pytest.approx(1.0, rel=1e-5)
    assert growth_for(Design(), 1.4007926, 1.0) == pytest.approx(4.0, rel=1e-5)
    assert growth_for(Design(), 0.0, 1.0) == math.inf
    assert math.isnan(growth_for(Design(), 1.0, math.nan))


def test_nothing_to_find_and_no_history() -> None:
    nothing = Baseline.of(Moments.of(("numerator",), np.empty((0, 1))))
    assert units(Design(), MEAN, 0.0) == math.inf
    assert math.isnan(units(Design(), nothing, 0.1))
    assert math.isnan(chance(Design(), nothing, 0.1, 10))
    assert detectable_lift(Design(), Baseline(value=0.0, variance=1.0), 100) == math.inf


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"alpha": 0.0}, "alpha must lie strictly between 0 and 1, got 0"),
        ({"power": 80}, "power must lie"),
        ({"shares": (0.5, 0.6)}, "shares must sum to 1"),
        ({"shares": (1.0,)}, "two or more"),
        ({"variance_saved": 1.0}, "below 1"),
        ({"cluster": 0.5}, "at least one unit"),
        ({"margin": -0.1}, "margin must lie"),
    ],
)
def test_designs_that_are_none_are_refused(bad: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Design(**bad)  # type: ignore[arg-type]


def test_a_lift_beyond_certainty_is_refused() -> None:
    with pytest.raises(ValueError, match=r"a lift of \+1000% takes a proportion of 0.1 to 1.1"):
        units(Design(), RATE, 10.0)
    with pytest.raises(ValueError, match="arrivals must be cumulative"):
        days_for(10, [5, 3])

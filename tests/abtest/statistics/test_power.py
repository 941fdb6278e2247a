import math

import numpy as np
import pytest
from statsmodels.stats.power import NormalIndPower

from abtest.statistics import power
from abtest.statistics.moments import Moments


def history(mean: float = 2.0, sd: float = 5.0, n: int = 1_000) -> Moments:
    return Moments(("numerator",), np.array(n), np.array([mean]), np.array([[(n - 1) * sd**2]]))


@pytest.mark.parametrize("share", [0.5, 0.8])
def test_agrees_with_statsmodels(share: float) -> None:
    found = power.units_per_arm(history(), 0.1, power=0.8, share=share)
    # effect size 0.2 / 5; ratio = treatment units over control units
    expected = NormalIndPower().solve_power(0.04, power=0.8, alpha=0.05, ratio=(1 - share) / share)
    assert found == pytest.approx(expected, rel=1e-5)


def test_the_three_questions_answer_each_other() -> None:
    units = power.units_per_arm(history(), 0.07, power=0.9, share=0.3) / 0.3
    assert power.detectable_lift(history(), units, power=0.9, share=0.3) == pytest.approx(0.07, rel=1e-9)
    assert power.power_of(history(), 0.07, units, share=0.3) == pytest.approx(0.9, rel=1e-6)


def test_a_ratio_needs_fewer_units_when_its_parts_move_together() -> None:
    columns, n = ("numerator", "denominator"), np.array(1_000)
    tied = Moments(columns, n, np.array([1.0, 10.0]), 999 * np.array([[1.0, 8.0], [8.0, 100.0]]))
    free = Moments(columns, n, np.array([1.0, 10.0]), 999 * np.array([[1.0, 0.0], [0.0, 100.0]]))
    assert power.units_per_arm(tied, 0.1) < power.units_per_arm(free, 0.1)


def test_no_lift_is_never_found() -> None:
    assert power.units_per_arm(history(), 0.0) == math.inf
    assert power.detectable_lift(history(mean=0.0), 1_000) == math.inf
    assert power.power_of(history(), 0.0, 1_000) == pytest.approx(0.05)


def test_no_history_is_nan() -> None:
    assert math.isnan(power.units_per_arm(Moments.of(("numerator",), np.empty((0, 1))), 0.1))


def test_days_left_follow_the_pace_so_far() -> None:
    assert power.days_left(250, 1_000, 5.0) == 15.0
    assert power.days_left(1_000, 1_000, 5.0) == 0.0
    assert math.isnan(power.days_left(0, 1_000, 5.0))


@pytest.mark.parametrize("bad", [{"alpha": 0.0}, {"power": 1.0}, {"share": 80}])
def test_shares_outside_0_and_1_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must lie strictly between 0 and 1"):
        power.units_per_arm(history(), 0.1, **bad)

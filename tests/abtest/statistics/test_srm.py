import math

import numpy as np
import pytest
from scipy import stats

from abtest.statistics import srm


def test_agrees_with_scipy() -> None:
    found = srm.check([5_100, 4_900, 10_050], [0.25, 0.25, 0.5])
    total = 20_050
    expected = stats.chisquare([5_100, 4_900, 10_050], [total / 4, total / 4, total / 2])
    assert found.chi_square == pytest.approx(expected.statistic, rel=1e-12)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-12)
    assert found.deviation == pytest.approx(max(abs(5_100 / (total / 4) - 1), abs(4_900 / (total / 4) - 1)))


def test_an_arm_of_weight_zero_costs_no_degree_of_freedom() -> None:
    assert srm.check([510, 490, 0], [0.5, 0.5, 0.0]).p_value == srm.check([510, 490], [0.5, 0.5]).p_value


def test_alarm_is_below_alpha_only() -> None:
    strict, loose = srm.check([5_150, 4_850], [1, 1], 0.001), srm.check([5_150, 4_850], [1, 1], 0.01)
    assert strict.p_value == loose.p_value == pytest.approx(0.0027, abs=1e-4)
    assert (strict.alarm, loose.alarm) == (False, True)


def test_too_few_units_are_nan_with_a_reason() -> None:
    found = srm.check([15, 0], [0.5, 0.5])
    assert math.isnan(found.p_value)
    assert not found.alarm
    assert "7.5 units and 8 are needed" in found.reason


def test_one_arm_has_no_ratio() -> None:
    assert "fewer than two arms" in srm.check([100, 0], [1.0, 0.0]).reason


def test_a_half_point_skew_at_two_hundred_thousand_units_is_caught_88_times_in_100() -> None:
    rng = np.random.default_rng(3)
    treated = rng.binomial(200_000, 0.495, 2_000)
    power = np.mean([srm.check([200_000 - t, t], [0.5, 0.5]).alarm for t in treated])
    # Monte-Carlo standard error 0.7 points
    assert power == pytest.approx(0.88, abs=0.03)


def test_a_sound_split_alarms_once_in_a_thousand() -> None:
    rng = np.random.default_rng(4)
    treated = rng.binomial(20_000, 0.5, 10_000)
    alarms = np.mean([srm.check([20_000 - t, t], [0.5, 0.5]).alarm for t in treated])
    assert 0.0 < alarms < 0.0025


@pytest.mark.parametrize(
    ("units", "weights", "words"),
    [([1, 2], [1.0], "pair up"), ([-1, 2], [1.0, 1.0], "counts >= 0"), ([1, 2], [1.0, math.nan], "weights must be")],
)
def test_bad_input_is_refused(units: list[int], weights: list[float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        srm.check(units, weights)

import math

import numpy as np
import pytest
from scipy import stats

from abtest.statistics import srm


def test_the_bayes_factor_by_hand() -> None:
    # Dirichlet-multinomial over multinomial, by scipy's laws
    counts, prior = [620, 380], srm.CONCENTRATION * np.array([0.5, 0.5])
    factor = stats.dirichlet_multinomial.pmf(counts, prior, 1_000) / stats.multinomial.pmf(counts, 1_000, [0.5, 0.5])
    assert srm.always_valid_p([counts], [0.5, 0.5])[0] == pytest.approx(min(1 / factor, 1), rel=1e-8)


def test_p_values_never_rise_and_the_alarm_stays() -> None:
    found = srm.check_always([[500, 500], [5_600, 4_400], [60_000, 60_000]], [1, 1])
    assert (np.diff(found.p_values) <= 0).all()
    assert (found.alarm, found.alarm_at) == (True, 1)
    assert not srm.check_always([[500, 500], [5_000, 5_010]], [1, 1]).alarm


def test_daily_looks_keep_the_rate_and_find_a_lost_percent(rng: np.random.Generator) -> None:
    until = 200_000 * np.arange(1, 29) // 28

    def ever(part: float, runs: int) -> float:
        treated = rng.binomial(np.diff(until, prepend=0), part, (runs, 28)).cumsum(axis=1)
        units = np.stack([until - treated, treated], axis=-1)
        return float((srm.always_valid_p(units, [0.5, 0.5])[:, -1] < 0.001).mean())

    assert ever(0.5, 20_000) <= 0.001 + 3 * math.sqrt(0.001 / 20_000)
    # the chi-square that is looked at once finds 88%: what may be looked at every day finds two thirds of them
    assert ever(0.495, 2_000) == pytest.approx(0.64, abs=0.05)


def test_an_arm_of_weight_zero_changes_nothing() -> None:
    with_it, without = srm.always_valid_p([[510, 490, 0]], [1, 1, 0]), srm.always_valid_p([[510, 490]], [1, 1])
    assert with_it[0] == without[0]
    assert np.isnan(srm.always_valid_p([[10, 0]], [1, 0])).all()


def test_counts_that_fall_are_refused() -> None:
    with pytest.raises(ValueError, match="must be cumulative, oldest look first"):
        srm.check_always([[10, 10], [9, 12]], [1, 1])
    with pytest.raises(ValueError, match="counts >= 0"):
        srm.check_always([[-1, 10]], [1, 1])

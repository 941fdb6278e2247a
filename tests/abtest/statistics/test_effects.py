"""The methods against scipy, statsmodels and tea-tasting, and where floats end."""

import math

import numpy as np
import pandas as pd
import pytest
import tea_tasting as tt
from scipy import stats
from statsmodels.stats.proportion import confint_proportions_2indep, proportions_ztest

from abtest.statistics import delta, proportion, welch
from abtest.statistics.moments import Moments, stack


def one(values: np.ndarray) -> Moments:
    return Moments.of(("numerator",), values[:, None])


def ones(successes: int, n: int) -> Moments:
    return one(np.repeat([1.0, 0.0], [successes, n - successes]))


def test_mean_agrees_with_scipy(rng: np.random.Generator) -> None:
    a, b = rng.lognormal(1.0, 1.0, 300), rng.lognormal(1.2, 1.3, 170)
    found = welch.effect(one(a), one(b), 0.9)
    expected = stats.ttest_ind(b, a, equal_var=False)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-10)
    assert found.ci == pytest.approx(tuple(expected.confidence_interval(0.9)), rel=1e-10)
    assert found.absolute / found.se == pytest.approx(expected.statistic, rel=1e-10)


@pytest.mark.parametrize(("x", "m", "y", "n"), [(200, 2_000, 260, 2_100), (3, 900, 11, 950), (0, 700, 9, 800)])
def test_proportion_agrees_with_statsmodels(x: int, m: int, y: int, n: int) -> None:
    found = proportion.effect(ones(x, m), ones(y, n), 0.95)
    assert found.ci == pytest.approx(confint_proportions_2indep(y, n, x, m, method="newcomb"), rel=1e-8)
    assert found.p_value == pytest.approx(proportions_ztest([y, x], [n, m])[1], rel=1e-8)
    assert "score" in found.method


@pytest.mark.parametrize(
    ("x", "m", "y", "n"),
    [(3, 40, 11, 38), (0, 20, 5, 25), (1, 480, 2, 500), (1, 3, 2, 3), (39_998, 40_000, 41_000, 41_000)],
)
def test_few_outcomes_are_tested_exactly_as_scipy_does(x: int, m: int, y: int, n: int) -> None:
    found = proportion.effect(ones(x, m), ones(y, n), 0.95)
    assert found.p_value == pytest.approx(stats.fisher_exact([[x, m - x], [y, n - y]]).pvalue, rel=1e-9)
    assert "Fisher" in found.method


def test_counting_the_others_flips_a_proportion() -> None:
    here = proportion.effect(ones(300, 1_000), ones(350, 1_000), 0.95)
    there = proportion.effect(ones(700, 1_000), ones(650, 1_000), 0.95)
    assert there.ci == pytest.approx((-here.ci[1], -here.ci[0]), rel=1e-12)
    assert there.p_value == pytest.approx(here.p_value, rel=1e-12)


def test_a_column_that_is_not_zero_or_one_is_no_proportion() -> None:
    with pytest.raises(ValueError, match="0 or 1"):
        proportion.effect(one(np.array([0.0, 1.0, 2.0])), ones(1, 3), 0.95)


def test_ratio_agrees_with_tea_tasting(rng: np.random.Generator) -> None:
    n = 3_000
    shown = 1.0 + rng.poisson(5.0, n)
    clicks = rng.binomial(shown.astype(int), 0.1 + 0.02 * (np.arange(n) % 2)).astype(float)
    data = pd.DataFrame({"variant": np.arange(n) % 2, "clicks": clicks, "shown": shown})
    arms = [Moments.of(("numerator", "denominator"), part[["clicks", "shown"]]) for _, part in data.groupby("variant")]
    found = delta.effect(arms[0], arms[1], 0.95)
    expected = tt.Experiment(ctr=tt.RatioOfMeans("clicks", "shown")).analyze(data)["ctr"]
    assert found.control == pytest.approx(expected.control, rel=1e-10)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-8)
    assert found.ci == pytest.approx((expected.effect_size_ci_lower, expected.effect_size_ci_upper), rel=1e-8)


def test_ratio_with_denominator_one_is_the_mean(rng: np.random.Generator) -> None:
    a, b = rng.exponential(2.0, 400), rng.exponential(2.2, 300)
    wide = [Moments.of(("numerator", "denominator"), np.column_stack([v, np.ones(len(v))])) for v in (a, b)]
    ratio, mean = delta.effect(wide[0], wide[1], 0.95), welch.effect(one(a), one(b), 0.95)
    assert ratio.p_value == pytest.approx(mean.p_value, rel=1e-12)
    assert ratio.relative_ci == pytest.approx(mean.relative_ci, rel=1e-12)


def test_ratio_over_nothing_is_nan_with_a_reason() -> None:
    nothing = Moments.of(("numerator", "denominator"), np.zeros((50, 2)))
    something = Moments.of(("numerator", "denominator"), np.arange(100.0).reshape(50, 2) + 1)
    effect = delta.effect(nothing, something, 0.95)
    assert math.isnan(effect.control)
    assert math.isnan(effect.p_value)
    assert "denominator is 0" in effect.reason


def test_numerator_proportional_to_denominator_has_no_variance(rng: np.random.Generator) -> None:
    shown = rng.integers(1, 50, 500).astype(float)
    exact = Moments.of(("numerator", "denominator"), np.column_stack([0.3 * shown, shown]))
    assert "no variance" in delta.effect(exact, exact, 0.95).reason


def test_a_constant_with_rounding_errors_has_no_variance() -> None:
    same = one(np.full(1_000, 1e9 + 0.1))
    effect = welch.effect(same, same, 0.95)
    assert math.isnan(effect.p_value)
    assert "no variance" in effect.reason


def test_a_mean_of_a_billion_keeps_its_interval(rng: np.random.Generator) -> None:
    a, b = 1e9 + rng.normal(0.0, 1.0, 5_000), 1e9 + rng.normal(0.1, 1.0, 5_000)
    far, near = welch.effect(one(a), one(b), 0.95), welch.effect(one(a - 1e9), one(b - 1e9), 0.95)
    # a float at 1e9 is only good to 1.2e-7
    assert far.ci == pytest.approx(near.ci, abs=5e-7)
    assert far.p_value == pytest.approx(near.p_value, rel=1e-4)


def test_tiny_rates_have_a_finite_interval() -> None:
    a = Moments(("numerator",), np.array(10**9), np.array([1e-9]), np.array([[1.0]]))
    b = Moments(("numerator",), np.array(10**9), np.array([9e-9]), np.array([[9.0]]))
    effect = welch.effect(a, b, 0.95)
    assert effect.absolute == pytest.approx(8e-9)
    assert 0 < effect.p_value < 0.05


def test_p_value_of_a_huge_effect_is_its_tail_and_not_zero(rng: np.random.Generator) -> None:
    a, b = rng.normal(0.0, 1.0, 20_000), rng.normal(0.2, 1.0, 20_000)
    p_value = welch.effect(one(a), one(b), 0.95).p_value
    assert 0.0 < p_value < 1e-60


def test_values_that_are_nan_give_nan_with_a_reason() -> None:
    effect = welch.effect(one(np.array([1.0, np.nan, 2.0])), one(np.array([1.0, 2.0, 4.0])), 0.95)
    assert math.isnan(effect.p_value)
    assert "NaN" in effect.reason


def test_many_comparisons_at_once_are_each_alone(rng: np.random.Generator) -> None:
    samples = [one(rng.normal(i, 1 + i, 20 + i)) for i in range(6)]
    batch = welch.effects(stack(samples[:3]), stack(samples[3:]), 0.95).rows()
    assert batch == [welch.effect(samples[i], samples[i + 3], 0.95) for i in range(3)]


def test_exact_and_score_rows_stand_side_by_side() -> None:
    control, treatment = stack([ones(5, 40), ones(50, 1_000)]), stack([ones(9, 40), ones(90, 1_000)])
    batch = proportion.effects(control, treatment, 0.95).rows()
    assert batch == [
        proportion.effect(ones(5, 40), ones(9, 40), 0.95),
        proportion.effect(ones(50, 1_000), ones(90, 1_000), 0.95),
    ]
    assert batch[0].method != batch[1].method

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from abtest.statistics import proportion, welch
from abtest.statistics.moments import Moments


def sample(mean: float, sd: float, n: int = 400) -> Moments:
    return Moments(("numerator",), np.array(n), np.array([mean]), np.array([[(n - 1) * sd**2]]))


@given(st.floats(0.5, 5), st.floats(-5, 5), st.floats(0.1, 3), st.floats(0.1, 3))
def test_ends_are_where_the_test_of_that_ratio_just_rejects(base: float, top: float, sd: float, sd_top: float) -> None:
    """Fieller by its definition: r is inside when mean_t - r mean_c is within critical standard errors of 0."""
    control, treatment = sample(base, sd), sample(top, sd_top)
    effect = welch.effect(control, treatment, 0.95)
    assume(not effect.reason)
    critical = (effect.ci[1] - effect.absolute) / effect.se
    for end in effect.relative_ci:
        ratio = 1 + end
        se = math.sqrt(sd_top**2 / 400 + ratio**2 * sd**2 / 400)
        assert abs(top - ratio * base) / se == pytest.approx(critical, rel=1e-6)


def test_a_baseline_that_may_be_zero_has_an_interval_without_end() -> None:
    effect = welch.effect(sample(0.01, 1.0), sample(0.5, 1.0), 0.95)
    assert effect.relative_ci == (-math.inf, math.inf)
    assert "cannot be told from 0" in effect.reason
    assert effect.p_value < 0.001  # the difference itself is clear


def test_a_baseline_of_zero_has_no_lift() -> None:
    effect = welch.effect(sample(0.0, 1.0), sample(0.5, 1.0), 0.95)
    assert math.isnan(effect.relative)
    assert np.isnan(effect.relative_ci).all()
    assert "the control is 0" in effect.reason
    assert effect.p_value < 0.001


@given(st.floats(0.5, 5), st.floats(-5, 5))
def test_a_negative_baseline_is_the_mirror_image(base: float, top: float) -> None:
    there = welch.effect(sample(base, 1.0), sample(top, 1.2), 0.95)
    back = welch.effect(sample(-base, 1.0), sample(-top, 1.2), 0.95)
    assert there.relative == -back.relative
    assert there.relative_ci == pytest.approx((-back.relative_ci[1], -back.relative_ci[0]), rel=1e-12)


def test_a_larger_value_is_a_positive_lift_whatever_the_sign_of_the_baseline() -> None:
    effect = welch.effect(sample(-10.0, 1.0), sample(-5.0, 1.0), 0.95)
    assert effect.relative == 0.5
    assert 0 < effect.relative_ci[0] < 0.5 < effect.relative_ci[1]


def test_lift_of_a_rate_never_falls_below_minus_everything() -> None:
    few = proportion.effect(sample_of_ones(2, 1_000), sample_of_ones(0, 1_000), 0.95)
    assert few.relative == -1.0
    assert few.relative_ci[0] == -1.0
    assert few.relative_ci[1] > 0  # two against none shows nothing


def sample_of_ones(successes: int, n: int) -> Moments:
    return Moments.of(("numerator",), np.repeat([1.0, 0.0], [successes, n - successes])[:, None])


@pytest.mark.slow
def test_skewed_revenue_is_covered_where_the_delta_method_fails() -> None:
    """Zero-inflated log-normal revenue, true lift 10%: nominal 95% intervals; the delta method covers 92.5%."""
    rng = np.random.default_rng(1)
    runs, n, caught, delta_caught = 1_500, 2_000, 0, 0
    for _ in range(runs):
        a, b = ((rng.random(n) < 0.1) * rng.lognormal(3.0, 1.2, n) for _ in range(2))
        arms = [Moments.of(("numerator",), values[:, None]) for values in (a, 1.1 * b)]
        effect = welch.effect(arms[0], arms[1], 0.95)
        caught += effect.relative_ci[0] <= 0.1 <= effect.relative_ci[1]
        mean_a, mean_b, var_a, var_b = a.mean(), 1.1 * b.mean(), a.var() / n, 1.21 * b.var() / n
        reach = 1.96 * math.sqrt(var_b / mean_a**2 + var_a * mean_b**2 / mean_a**4)
        delta_caught += abs(effect.relative - 0.1) <= reach
    # Monte-Carlo standard error 0.6 points
    assert caught / runs > 0.935
    assert caught > delta_caught

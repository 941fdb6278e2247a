import math

import numpy as np
import pytest

from abtest.statistics import sequential, spending, welch
from abtest.statistics.moments import Moments


def arms(rng: np.random.Generator, runs: int, n: int, lift: float = 0.0) -> tuple[Moments, Moments]:
    return tuple(Moments.of(("numerator",), rng.normal(1 + by, 1.0, (runs, n, 1))) for by in (0.0, lift))


def test_equals_the_published_two_sided_normal_mixture() -> None:
    # confseq's boundary at v = 100,000, tuned to 5,000, alpha 5%
    found = math.sqrt(100_000) * float(sequential.boundary(100_000, 0.05, 5_000))
    assert found == pytest.approx(1055.20700343, abs=5e-9)


@pytest.mark.parametrize("n", [10, 1_000, 50_000])
def test_p_value_is_alpha_exactly_at_the_boundary(n: int) -> None:
    z = sequential.boundary(n, 0.1, 2_000)
    assert sequential.p_value(z, n, 0.1, 2_000) == pytest.approx(0.1, rel=1e-12)


def test_p_value_of_a_huge_effect_does_not_overflow() -> None:
    assert 0.0 <= sequential.p_value(400.0, 10_000, 0.05, 10_000) < 1e-300
    assert sequential.p_value(0.0, 10_000, 0.05, 10_000) == 1.0


def test_tuning_makes_the_interval_narrowest_near_the_planned_sample() -> None:
    width = {planned: float(sequential.boundary(20_000, 0.05, planned)) for planned in (200, 5_000, 20_000, 2_000_000)}
    assert min(width, key=lambda planned: width[planned]) == 20_000


def test_looking_every_day_rejects_at_most_at_the_level_where_the_naive_test_fails() -> None:
    rng = np.random.default_rng(11)
    runs, looks, per_look = 400, 20, 50
    control, treatment = arms(rng, runs * looks, per_look)
    ever, naive = np.zeros(runs, dtype=bool), np.zeros(runs, dtype=bool)
    sums = [control[0:0], treatment[0:0]]
    for look in range(looks):
        today = slice(look * runs, (look + 1) * runs)
        new = [control[today], treatment[today]]
        sums = new if look == 0 else [old + more for old, more in zip(sums, new, strict=True)]
        ever |= sequential.effects(*sums, 0.95, planned=2 * looks * per_look).p_value < 0.05
        naive |= welch.effects(*sums, 0.95).p_value < 0.05
    assert ever.mean() <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)
    assert naive.mean() > 0.15


def test_interval_is_wider_than_the_fixed_one_and_centred_alike(rng: np.random.Generator) -> None:
    control, treatment = arms(rng, 1, 500, 0.2)
    always, fixed = (m.effect(control[0], treatment[0], 0.95) for m in (sequential, welch))
    assert always.ci[0] < fixed.ci[0] < fixed.ci[1] < always.ci[1]
    assert always.absolute == fixed.absolute
    assert always.relative_ci[0] < fixed.relative_ci[0]
    assert "tuned to 10,000 units" in always.method


def test_no_units_yet_is_nan_with_a_reason() -> None:
    none = Moments.of(("numerator",), np.empty((0, 1)))
    effect = sequential.effect(none, none, 0.95)
    assert math.isnan(effect.p_value)
    assert "no units" in effect.reason


def test_a_plan_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="planned must be above 0 units, got 0"):
        sequential.boundary(10, 0.05, 0)


def test_mixture_sprt_is_the_same_test() -> None:
    # Johari et al.: prior N(0, tau^2), variance per unit s^2: rho = tau / s
    n, s, planned = 20_000, 3.0, 10_000
    tau = sequential.mixing(0.05, planned) * s
    se = s / math.sqrt(n)
    for absolute in (0.01, 0.08, 0.3):
        e = sequential.mixture_sprt(absolute, se, tau)
        assert e == pytest.approx(sequential.e_value(absolute / se, n, 0.05, planned), rel=1e-10)
        assert min(1.0, 1.0 / e) == pytest.approx(sequential.p_value(absolute / se, n, 0.05, planned), rel=1e-10)
    with pytest.raises(ValueError, match="tau must be > 0, got 0"):
        sequential.mixture_sprt(0.1, 0.1, 0)


def test_mixture_sprt_is_the_mean_likelihood_ratio(rng: np.random.Generator) -> None:
    se, tau, absolute = 0.2, 0.3, 0.5
    effects = rng.normal(0.0, tau, 2_000_000)
    ratio = np.exp(absolute * effects / se**2 - effects**2 / (2 * se**2))
    assert sequential.mixture_sprt(absolute, se, tau) == pytest.approx(ratio.mean(), rel=0.01)
    half = ratio[effects > 0].mean()
    planned = 1_000 * (sequential.mixing(0.1, 1.0) / (tau / se)) ** 2  # so that rho^2 n is (tau / se)^2
    assert sequential.one_sided_p_value(absolute / se, 1_000, 0.05, planned) == pytest.approx(1 / half, rel=0.01)


@pytest.mark.parametrize("n", [10, 1_000, 1_000_000])
def test_one_sided_p_value_is_alpha_at_its_boundary_and_reaches_less_far(n: int) -> None:
    z = sequential.one_sided_boundary(n, 0.05, 2_000)
    assert sequential.one_sided_p_value(z, n, 0.05, 2_000) == pytest.approx(0.05, rel=1e-9)
    assert z < sequential.boundary(n, 0.05, 2_000)
    assert sequential.one_sided_p_value(-3.0, n, 0.05, 2_000) == 1.0
    assert np.isnan(sequential.one_sided_boundary(0, 0.05, 2_000))


def test_one_sided_looks_reject_at_most_at_the_level(rng: np.random.Generator) -> None:
    n = np.arange(1, 201) * 50
    z = rng.standard_normal((4_000, 200)).cumsum(axis=1) / np.sqrt(np.arange(1, 201))
    ever = (sequential.one_sided_p_value(z, n, 0.05, 10_000) < 0.05).any(axis=1).mean()
    assert ever <= 0.05


def test_looking_costs_half_as_much_again_in_width() -> None:
    assert sequential.relative_width(20_000, 0.05, 20_000) == pytest.approx(1.55, abs=0.01)


def test_tuning_to_seven_tenths_of_the_plan_has_the_power() -> None:
    looks = np.arange(1, 29) / 28
    found = {share: spending.power(looks, sequential.boundary(looks, 0.05, share), 2.8016) for share in (0.4, 0.7, 1.0)}
    assert found[sequential.TUNED_SHARE] == max(found.values())
    assert found[sequential.TUNED_SHARE] > 0.503

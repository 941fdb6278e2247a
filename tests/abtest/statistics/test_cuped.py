import math

import numpy as np
import pytest

from abtest.statistics import cuped, delta, welch
from abtest.statistics.moments import Moments, stack

MEAN = ("numerator", "covariate")


def units(rng: np.random.Generator, n: int, lift: float = 0.0, correlation: float = 0.8) -> np.ndarray:
    """Values with variance 1 and mean 10, and their covariate of mean 5 and variance 4."""
    past, noise = rng.normal(size=n), rng.normal(size=n)
    values = 10.0 + correlation * past + math.sqrt(1 - correlation**2) * noise
    return np.column_stack([(1 + lift) * values, 5.0 + 2.0 * past])


def arms(rng: np.random.Generator, n: int = 4_000, lift: float = 0.0, correlation: float = 0.8) -> list[Moments]:
    return [Moments.of(MEAN, units(rng, n, one, correlation)) for one in (0.0, lift)]


def test_hand_computed_adjustment() -> None:
    """theta = 2 exactly; control's past is 1 below both arms', treatment's 1 above, so both are moved by 2."""
    past = np.array([0.0, 1.0, 2.0, 0.0, 1.0, 2.0, 0.0, 1.0, 2.0, 1.0, 1.0])
    noise = np.array([1.0, -2.0, 1.0, -1.0, 2.0, -1.0, 0.0, 0.0, 0.0, 3.0, -3.0])
    control = Moments.of(MEAN, np.column_stack([2.0 * past + noise, past]))
    treatment = Moments.of(MEAN, np.column_stack([2.0 * (past + 2.0) + noise, past + 2.0]))
    found = cuped.adjusted(control, treatment)
    assert found.theta.tolist() == pytest.approx([2.0])
    assert [float(found.control.value), float(found.treatment.value)] == pytest.approx([4.0, 4.0])


def test_variance_saved_is_the_squared_correlation(rng: np.random.Generator) -> None:
    assert cuped.variance_saved(*arms(rng, 40_000)) == pytest.approx(0.64, abs=0.01)
    effect = cuped.effect(*arms(rng, 40_000), 0.95)
    assert "CUPED, 6" in effect.method
    assert "% of the variance saved" in effect.method


def test_a_covariate_that_knows_nothing_saves_nothing(rng: np.random.Generator) -> None:
    assert cuped.variance_saved(*arms(rng, 40_000, correlation=0.0)) == pytest.approx(0.0, abs=1e-3)


def test_the_planted_lift_is_found_with_the_variance_that_is_left(rng: np.random.Generator) -> None:
    pairs = [arms(rng, 500, 0.05) for _ in range(800)]
    batch = cuped.effects(stack([pair[0] for pair in pairs]), stack([pair[1] for pair in pairs]), 0.95)
    assert batch.relative.mean() == pytest.approx(0.05, abs=0.001)
    # the standard error is known to 2.5% from 800 runs: four of them
    assert batch.absolute.std() == pytest.approx(batch.se.mean(), rel=0.1)
    covered = np.mean((batch.relative_low <= 0.05) & (batch.relative_high >= 0.05))
    assert covered == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / 800))


def test_a_large_lift_is_covered_too(rng: np.random.Generator) -> None:
    """Where the covariate's mean over both arms is taken as known, a lift of 200% has another variance."""
    pairs = [arms(rng, 300, 2.0, 0.95) for _ in range(800)]
    batch = cuped.effects(stack([pair[0] for pair in pairs]), stack([pair[1] for pair in pairs]), 0.95)
    covered = np.mean((batch.relative_low <= 2.0) & (batch.relative_high >= 2.0))
    assert covered == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / 800))


def test_several_covariates_save_more_than_one_and_copies_change_nothing(rng: np.random.Generator) -> None:
    n, names = 2_000, ("numerator", "covariate_a", "covariate_b", "covariate_copy")
    past = rng.normal(size=(2, n, 2))
    values = past.sum(axis=-1) + rng.normal(size=(2, n))
    full = [np.column_stack([values[arm], past[arm], 3.0 * past[arm, :, 0] + 1.0]) for arm in range(2)]
    one, two, three = (cuped.variance_saved(*(Moments.of(names[:k], v[:, :k]) for v in full)) for k in (2, 3, 4))
    assert one == pytest.approx(1 / 3, abs=0.04)
    assert two == pytest.approx(2 / 3, abs=0.03)
    assert three == pytest.approx(float(two), rel=1e-9)


@pytest.mark.parametrize("constant", [0.0, 7.0, 1e9 + 0.1])
def test_a_covariate_without_variance_leaves_the_effect_as_it_was(rng: np.random.Generator, constant: float) -> None:
    values = [np.column_stack([rng.exponential(2.0, 200), np.full(200, constant)]) for _ in range(2)]
    full, plain = ([Moments.of(MEAN[:k], v[:, :k]) for v in values] for k in (2, 1))
    found, expected = cuped.effect(*full, 0.95), welch.effect(*plain, 0.95)
    assert found.ci == pytest.approx(expected.ci, rel=1e-12)
    assert found.p_value == pytest.approx(expected.p_value, rel=1e-12)
    assert "not adjusted: no covariate varies" in found.method


def test_without_a_covariate_it_is_the_unadjusted_method(rng: np.random.Generator) -> None:
    ratio = [Moments.of(("numerator", "denominator"), 1.0 + rng.exponential(2.0, (90, 2))) for _ in range(2)]
    found, expected = cuped.effect(*ratio, 0.95), delta.effect(*ratio, 0.95)
    assert found.ci == pytest.approx(expected.ci, rel=1e-12)
    assert "there is no covariate" in found.method


def test_too_few_units_for_the_covariates_are_not_adjusted(rng: np.random.Generator) -> None:
    assert "too few units" in cuped.effect(*arms(rng, 4), 0.95).method


def test_one_unknown_covariate_leaves_the_others(rng: np.random.Generator) -> None:
    values = [np.column_stack([units(rng, 300), np.full(300, np.nan)]) for _ in range(2)]
    found = cuped.effect(*(Moments.of((*MEAN, "covariate_lost"), v) for v in values), 0.95)
    assert "by 1 of 2 covariates" in found.method
    assert found.ci == pytest.approx(cuped.effect(*(Moments.of(MEAN, v[:, :2]) for v in values), 0.95).ci, rel=1e-12)


def test_a_metric_that_is_its_covariate_has_no_variance_left(rng: np.random.Generator) -> None:
    past = rng.normal(5.0, 1.0, (2, 300))
    effect = cuped.effect(*(Moments.of(MEAN, np.column_stack([2.0 * one, one])) for one in past), 0.95)
    assert math.isnan(effect.p_value)
    assert "no variance" in effect.reason


def test_means_of_a_billion_keep_their_interval(rng: np.random.Generator) -> None:
    values = [units(rng, 3_000) for _ in range(2)]
    near, far = (cuped.effect(*(Moments.of(MEAN, v + by) for v in values), 0.95) for by in (0.0, 1e9))
    # a float at 1e9 is only good to 1.2e-7
    assert far.ci == pytest.approx(near.ci, abs=5e-7)
    assert far.p_value == pytest.approx(near.p_value, rel=1e-4)


def test_rates_of_a_billionth_are_adjusted() -> None:
    comoment = np.array([[9.0, 4.0], [4.0, 9.0]])
    control = Moments(MEAN, np.array(10**9), np.array([9e-9, 9e-9]), comoment)
    treatment = Moments(MEAN, np.array(10**9), np.array([39e-9, 9e-9]), comoment)
    effect = cuped.effect(control, treatment, 0.95)
    assert effect.absolute == pytest.approx(3e-8)
    assert 0 < effect.p_value < 1e-6


def test_arms_of_other_columns_are_refused(rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match="the same columns"):
        cuped.effect(Moments.of(MEAN, units(rng, 9)), Moments.of(("numerator",), units(rng, 9)[:, :1]), 0.95)


def test_many_comparisons_at_once_are_each_alone(rng: np.random.Generator) -> None:
    pairs = [arms(rng, 30 + i, 0.1) for i in range(3)]
    batch = cuped.effects(stack([pair[0] for pair in pairs]), stack([pair[1] for pair in pairs]), 0.95).rows()
    for one, pair in zip(batch, pairs, strict=True):
        assert one.p_value == pytest.approx(cuped.effect(*pair, 0.95).p_value, rel=1e-12)

import math

import numpy as np
import pytest

from abtest.statistics import bayes, beta, welch
from abtest.statistics.bayes import Prior
from abtest.statistics.beta import BetaPrior
from abtest.statistics.effect import Effects
from abtest.statistics.moments import Moments, stack


def arms(rng: np.random.Generator, lift: float, n: int = 900) -> tuple[Moments, Moments]:
    return tuple(Moments.of(("numerator",), one * rng.normal(10.0, 4.0, (n, 1))) for one in (1.0, 1 + lift))


def ones(successes: int, n: int) -> Moments:
    return Moments.of(("numerator",), np.repeat([1.0, 0.0], [successes, n - successes])[:, None])


def of(effect_arms: tuple[Moments, Moments]) -> Effects:
    return Effects.of([welch.effect(*effect_arms, 0.95)])


def test_a_flat_prior_says_what_the_frequentist_says(rng: np.random.Generator) -> None:
    effects = of(arms(rng, 0.03))
    found = bayes.normal(effects, 0.95).single()
    assert found.ci == pytest.approx((effects.low[0], effects.high[0]), abs=0.01 * effects.se[0])
    assert found.relative_ci == pytest.approx((effects.relative_low[0], effects.relative_high[0]), abs=0.001)
    # one-sided p-value, up to the t distribution's tails
    assert 1 - found.chance_to_win == pytest.approx(effects.p_value[0] / 2, abs=0.001)


def test_a_sharp_prior_is_what_is_believed_afterwards(rng: np.random.Generator) -> None:
    found = bayes.normal(of(arms(rng, 0.2)), 0.95, Prior(mean=0.01, sd=1e-6)).single()
    assert found.relative == pytest.approx(0.01, abs=1e-4)
    assert found.relative_ci == pytest.approx((0.01, 0.01), abs=1e-4)


def test_loss_and_gain_differ_by_the_effect_and_agree_with_draws(rng: np.random.Generator) -> None:
    found = bayes.normal(of(arms(rng, 0.01)), 0.9, Prior(sd=0.05)).single()
    assert found.loss_of_keeping - found.expected_loss == pytest.approx(found.absolute, rel=1e-10)
    draws = rng.normal(found.absolute, found.sd, 1_000_000)
    # Monte-Carlo standard error 0.1% of sd
    assert found.expected_loss == pytest.approx(np.maximum(-draws, 0).mean(), abs=0.004 * found.sd)
    assert found.ci == pytest.approx(np.quantile(draws, [0.05, 0.95]), abs=0.01 * found.sd)
    assert found.chance_to_win == pytest.approx((draws > 0).mean(), abs=0.002)


def test_a_prior_that_is_true_makes_intervals_and_chances_true(rng: np.random.Generator) -> None:
    """Lifts drawn from the prior: 90% of the intervals hold them, and of the chances near 80%, 80% win."""
    lifts = rng.normal(0.0, 0.03, 4_000)
    control, treatment = (
        stack(
            [
                Moments.of(("numerator",), values[:, None])
                for values in by[:, None] * rng.normal(10.0, 4.0, (4_000, 300))
            ]
        )
        for by in (np.ones(4_000), 1 + lifts)
    )
    found = bayes.normal(welch.effects(control, treatment, 0.95), 0.9, Prior(sd=0.03))
    held = (found.relative_low <= lifts) & (lifts <= found.relative_high)
    assert held.mean() == pytest.approx(0.9, abs=4 * math.sqrt(0.09 / 4_000))
    near = np.abs(found.chance_to_win - 0.8) < 0.1
    assert (lifts[near] > 0).mean() == pytest.approx(
        found.chance_to_win[near].mean(), abs=4 * 0.4 / math.sqrt(near.sum())
    )


def test_a_loss_far_in_the_tail_is_small_and_not_negative(rng: np.random.Generator) -> None:
    found = bayes.normal(of(arms(rng, 3.0)), 0.95).single()
    assert 0.0 <= found.expected_loss < 1e-100
    assert found.chance_to_win == 1.0


def test_what_has_no_effect_has_no_posterior(rng: np.random.Generator) -> None:
    nothing = Moments.of(("numerator",), np.zeros((0, 1)))
    found = bayes.normal(of((nothing, arms(rng, 0.0)[1])), 0.95, Prior(sd=0.1)).single()
    assert np.isnan([found.absolute, *found.ci, found.chance_to_win, found.expected_loss]).all()
    assert "no units in control" in found.reason


def test_a_control_of_zero_has_an_absolute_posterior_only(rng: np.random.Generator) -> None:
    values = rng.normal(0.0, 1.0, (100, 1))
    centred = Moments.of(("numerator",), np.concatenate([values, -values]))
    for prior in (bayes.FLAT, Prior(sd=0.1)):
        found = bayes.normal(of((centred, arms(rng, 0.0)[1])), 0.95, prior).single()
        assert found.chance_to_win == 1.0
        assert math.isnan(found.relative)


def test_a_prior_without_spread_is_refused() -> None:
    with pytest.raises(ValueError, match="sd > 0"):
        Prior(sd=0.0)


@pytest.mark.parametrize(("x", "m", "y", "n"), [(3, 20, 7, 25), (0, 30, 0, 50), (5, 100, 9_000, 100_000), (0, 1, 1, 1)])
def test_beta_agrees_with_draws(rng: np.random.Generator, x: int, m: int, y: int, n: int) -> None:
    found = beta.posteriors(ones(x, m), ones(y, n), 0.95).single()
    control, treatment = rng.beta(1 + x, 1 + m - x, 1_000_000), rng.beta(1 + y, 1 + n - y, 1_000_000)
    gap = treatment - control
    # four standard errors of a share, and of a tail's quantile as seen
    assert found.chance_to_win == pytest.approx((gap > 0).mean(), abs=0.002)
    assert found.expected_loss == pytest.approx(np.maximum(-gap, 0).mean(), rel=0.02)
    assert found.loss_of_keeping == pytest.approx(np.maximum(gap, 0).mean(), rel=0.02)
    assert found.ci == pytest.approx(np.quantile(gap, [0.025, 0.975]), rel=0.02)
    assert found.relative_ci == pytest.approx(np.quantile(treatment / control - 1, [0.025, 0.975]), rel=0.02)


def test_swapping_arms_turns_a_beta_posterior_round() -> None:
    there = beta.posteriors(ones(30, 400), ones(90, 900), 0.9).single()
    back = beta.posteriors(ones(90, 900), ones(30, 400), 0.9).single()
    assert there.chance_to_win == pytest.approx(1 - back.chance_to_win, rel=1e-10)
    assert there.expected_loss == pytest.approx(back.loss_of_keeping, rel=1e-10)
    assert there.ci == pytest.approx((-back.ci[1], -back.ci[0]), rel=1e-9)
    assert 1 + there.relative_ci[0] == pytest.approx(1 / (1 + back.relative_ci[1]), rel=1e-9)


def test_many_units_make_beta_and_normal_one() -> None:
    control, treatment = ones(20_000, 200_000), ones(20_300, 200_000)
    exact = beta.posteriors(control, treatment, 0.95).single()
    rough = bayes.normal(of((control, treatment)), 0.95).single()
    assert exact.chance_to_win == pytest.approx(rough.chance_to_win, abs=1e-4)
    assert exact.ci == pytest.approx(rough.ci, rel=1e-3)


def test_a_strong_beta_prior_outweighs_few_units() -> None:
    found = beta.posteriors(ones(0, 5), ones(5, 5), 0.95, BetaPrior(ones=1e5, zeros=9e5)).single()
    assert found.absolute == pytest.approx(0.0, abs=1e-4)
    assert "prior of 100000 ones" in found.method


def test_beta_of_many_comparisons_and_of_none() -> None:
    control, treatment = stack([ones(3, 20), ones(5, 9), ones(0, 0)]), stack([ones(7, 25), ones(1, 9), ones(1, 2)])
    rows = beta.posteriors(control, treatment, 0.95).rows()
    assert rows[0] == beta.posteriors(ones(3, 20), ones(7, 25), 0.95).single()
    assert rows[1].chance_to_win < 0.1
    assert math.isnan(rows[2].chance_to_win)
    assert "no units in control" in rows[2].reason

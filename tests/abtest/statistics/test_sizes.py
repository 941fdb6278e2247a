"""How often tests reject equal arms, enumerated over every outcome instead of simulated."""

import numpy as np
import pytest
from scipy import stats

from abtest.statistics import proportion, welch
from abtest.statistics.moments import Moments


def binary(ones: np.ndarray, n: int) -> Moments:
    rate = ones / n
    return Moments(("numerator",), np.full(ones.shape, n), rate[..., None], (n * rate * (1 - rate))[..., None, None])


def size(n: tuple[int, int], rate: float) -> float:
    """The exact chance that two arms of the same rate are told apart at 5%."""
    first, second = np.meshgrid(np.arange(n[0] + 1), np.arange(n[1] + 1), indexing="ij")
    chance = stats.binom.pmf(first, n[0], rate) * stats.binom.pmf(second, n[1], rate)
    likely = chance > 1e-9
    p_value = proportion.effects(binary(first[likely], n[0]), binary(second[likely], n[1]), 0.95).p_value
    return float(chance[likely][p_value < 0.05].sum())


@pytest.mark.parametrize("n", [(200, 200), (100, 100), (300, 100)])
@pytest.mark.parametrize("rate", [0.05, 0.1, 0.3, 0.5])
def test_proportions_reject_one_in_twenty_where_outcomes_are_not_rare(n: tuple[int, int], rate: float) -> None:
    assert 0.04 <= size(n, rate) <= 0.06


@pytest.mark.parametrize("n", [(30, 30), (200, 200), (360, 40), (95, 5)])
@pytest.mark.parametrize("rate", [0.002, 0.02, 0.1, 0.5, 0.99])
def test_proportions_never_reject_much_too_often(n: tuple[int, int], rate: float) -> None:
    assert size(n, rate) <= 0.06


@pytest.mark.parametrize(("error", "words"), [(0.4, "within 3 standard errors of 0"), (0.1, "")])
def test_a_mean_that_few_units_carry_is_warned_of(error: float, words: str) -> None:
    arm = Moments(("numerator",), np.array(100), np.array([1.0]), np.array([[99 * 100 * error**2]]))
    found = welch.effect(arm, arm, 0.95)
    assert (words in found.reason) if words else found.reason == ""
    assert found.p_value == 1.0

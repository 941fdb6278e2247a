import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from abtest.simulation.draws import Draws, Purpose, poisson


def test_draws_are_uniform_and_open() -> None:
    draws = Draws(11).uniforms(Purpose.CLICK, 4, np.arange(20_000), places=10)
    assert draws.shape == (20_000, 10)
    assert 0 < draws.min() < draws.max() < 1
    assert stats.kstest(draws.ravel(), "uniform").pvalue > 0.001
    assert np.abs(np.corrcoef(draws.T) - np.eye(10)).max() < 0.03  # 4 sd of a correlation of 20,000 pairs


@pytest.mark.parametrize("other", [(12, Purpose.CLICK, 4, 0), (11, Purpose.LEAVE, 4, 0), (11, Purpose.CLICK, 5, 0)])
def test_seed_purpose_day_and_visit_give_independent_draws(other: tuple[int, Purpose, int, int]) -> None:
    seed, purpose, day, visit = other
    users = np.arange(20_000)
    one = Draws(11).uniforms(Purpose.CLICK, 4, users, 1)
    two = Draws(seed).uniforms(purpose, day, users, visit)
    assert abs(np.corrcoef(one, two)[0, 1]) < 0.03


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=20), st.integers(0, 2**40), st.integers(1, 8))
def test_a_users_draw_does_not_depend_on_who_else_draws_or_how_many_places(
    users: list[int], seed: int, places: int
) -> None:
    draws = Draws(seed)
    together = draws.uniforms(Purpose.CLICK, 3, users, places=places)
    for row, user in enumerate(users):
        alone = draws.uniforms(Purpose.CLICK, 3, [user], places=places + 2)
        assert np.array_equal(alone[0, :places], together[row])


def test_poisson_agrees_with_scipys_quantiles() -> None:
    uniforms = np.random.default_rng(3).random(5_000)
    rates = np.random.default_rng(4).uniform(0, 30, 5_000)
    assert np.array_equal(poisson(uniforms, rates), stats.poisson.ppf(uniforms, rates))


@given(st.floats(1e-9, 1 - 1e-9), st.floats(0, 50), st.floats(0, 5))
def test_a_higher_rate_never_gives_fewer_visits(uniform: float, rate: float, more: float) -> None:
    low, high = poisson(np.array([uniform, uniform]), [rate, rate + more])
    assert low <= high


def test_poisson_of_rate_zero_is_zero() -> None:
    assert poisson(np.array([0.5, 1 - 2.0**-53]), 0.0).tolist() == [0, 0]

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.special import expit, logit

from abtest.simulation.choice import Behaviour, clicks, examination, expected_clicks, purchase_chance

N, K = 200_000, 6


def sampled(attraction: NDArray[np.float64], mobile: bool, behaviour: Behaviour, seed: int = 1) -> NDArray[np.bool_]:
    """The clicks of N visits to the same slate."""
    rng = np.random.default_rng(seed)
    reach = examination(np.full(N, mobile), len(attraction), behaviour)
    return clicks(
        np.tile(attraction, (N, 1)),
        reach,
        behaviour,
        click=rng.random((N, len(attraction))),
        patience=rng.random(N),
        leave=rng.random(N),
    )


@pytest.mark.parametrize(("mobile", "eta"), [(True, 1.1), (False, 0.8)])
def test_position_model_clicks_fall_as_a_power_of_the_place(mobile: bool, eta: float) -> None:
    rates = sampled(np.full(K, logit(0.4)), mobile, Behaviour(click_model="position")).mean(axis=0)
    # 5 standard errors of a share of 200,000
    assert rates == pytest.approx(0.4 * np.arange(1, K + 1) ** -eta, abs=5 * np.sqrt(0.24 / N))


def walked(chance: NDArray[np.float64], eta: float, leave: float, rng: np.random.Generator) -> list[bool]:
    """The dynamic Bayesian network as its paper tells it: one place after the other."""
    found = [False] * len(chance)
    for place in range(len(chance)):
        if place and rng.random() >= ((place + 1) / place) ** -eta:
            break
        if rng.random() < chance[place]:
            found[place] = True
            if rng.random() < leave:
                break
    return found


def test_dbn_without_a_loop_is_the_walk_down_the_list() -> None:
    chance = np.array([0.3, 0.6, 0.2, 0.5])
    behaviour = Behaviour(leave=0.4)
    rng = np.random.default_rng(2)
    walks = np.array([walked(chance, behaviour.eta_desktop, 0.4, rng) for _ in range(40_000)])
    ours = sampled(logit(chance), False, behaviour)
    # whole click patterns, not only means: 16 of them, 5 standard errors of the smaller sample
    powers = 2 ** np.arange(4)
    expected = np.bincount(walks @ powers, minlength=16) / len(walks)
    found = np.bincount(ours @ powers, minlength=16) / N
    assert np.all(np.abs(expected - found) < 5 * np.sqrt(found * (1 - found) / len(walks)) + 2e-4)


@pytest.mark.parametrize("behaviour", [Behaviour(), Behaviour(leave=0.9), Behaviour(click_model="position")])
def test_expected_clicks_are_the_mean_of_clicks(behaviour: Behaviour) -> None:
    attraction = np.array([0.5, -1.0, 0.0, 2.0, -3.0, 1.0])
    expected = expected_clicks(attraction[None], examination(np.array([True]), K, behaviour), behaviour)[0]
    assert sampled(attraction, True, behaviour).mean(axis=0) == pytest.approx(expected, abs=5 * np.sqrt(0.25 / N))


def test_who_always_leaves_after_a_click_clicks_once_and_who_never_leaves_clicks_more() -> None:
    attraction = np.full(K, 1.0)
    once = sampled(attraction, False, Behaviour(leave=1.0)).sum(axis=1)
    often = sampled(attraction, False, Behaviour(leave=0.0)).sum(axis=1)
    assert once.max() == 1
    assert often.max() == K
    assert often.mean() > once.mean() + 0.3


def test_an_empty_place_is_never_clicked() -> None:
    assert not sampled(np.array([-np.inf, 3.0]), False, Behaviour())[:, 0].any()


@given(arrays(np.float64, (3, 4), elements=st.floats(-8, 8)), st.floats(0, 3), st.integers(0, 1000))
def test_more_attraction_never_loses_a_position_click(base: NDArray[np.float64], more: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    draws = {"click": rng.random((3, 4)), "patience": rng.random(3), "leave": rng.random(3)}
    behaviour = Behaviour(click_model="position")
    reach = examination(np.array([True, False, True]), 4, behaviour)
    before, after = (clicks(base + gain, reach, behaviour, **draws) for gain in (0.0, more))
    assert np.all(before <= after)


def test_purchase_chance_by_hand_and_falling_with_price() -> None:
    chance = purchase_chance(np.array([-2.0, -2.0]), np.array([0.0, 1.0]), np.array([0.4, 0.4]), -3.0, Behaviour())
    assert chance == pytest.approx(expit([-4.0, -4.4]))
    assert chance[1] < chance[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"click_model": "cascade"}, "must be 'dbn' or 'position', got 'cascade'"),
        ({"leave": 1.5}, r"behaviour\.leave must lie in \[0, 1\], got 1\.5"),
        ({"churn": -0.1}, r"behaviour\.churn must be finite and at least 0"),
        ({"eta_mobile": float("nan")}, r"behaviour\.eta_mobile must be finite"),
        ({"weekdays": (1.0, 1.0)}, r"behaviour\.weekdays must be 7 weights"),
        ({"hours": (0.0,) * 24}, r"behaviour\.hours must be 24 weights with a sum above 0"),
    ],
)
def test_a_wrong_parameter_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Behaviour(**change)

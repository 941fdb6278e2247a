from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from abtest.simulation.world import World, affinity, draw_world


def tiny() -> World:
    return World(
        users=np.array(["ann", "bob"]),
        items=np.array(["x", "y", "z"]),
        user_taste=np.array([[1.0, 0.0], [0.0, 2.0]]),
        item_taste=np.array([[1.0, 1.0], [0.5, 0.0], [0.0, -1.0]]),
        user_bias=np.array([0.25, -0.25]),
        item_quality=np.array([0.0, 1.0, 2.0]),
        price=np.array([10.0, 20.0, 40.0]),
        price_sensitivity=np.array([0.4, 0.4]),
        category=np.array([0, 1, 1]),
        activity=np.array([0.2, 0.3]),
        weekend_taste=np.zeros(2),
        mobile=np.array([True, False]),
        join_day=np.array([-1, 0]),
        item_birth_day=np.array([-1, -1, 3]),
        sigma_0=-3.0,
        purchase_intercept=-3.0,
    )


def test_affinity_by_hand() -> None:
    found = affinity(tiny(), np.array([0, 1], np.int32), np.array([[0, 1], [2, 0]], np.int32))
    # ann: .25 - 3 + 0 + 1 and .25 - 3 + .5 + .5; bob: -.25 - 3 + 1 - 2 and -.25 - 3 + 0 + 2
    assert found == pytest.approx(np.array([[-1.75, -1.75], [-4.25, -1.25]]))


def test_price_gap_is_measured_from_the_median_item() -> None:
    assert tiny().price_gap == pytest.approx(np.log([0.5, 1.0, 2.0]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"price": np.array([1.0, 2.0])}, r"world\.price has shape \(2,\), expected \(3,\)"),
        ({"price": np.array([1.0, 0.0, 2.0])}, r"world\.price must hold prices above 0; 1 do not, first at 1"),
        ({"user_taste": np.zeros((2, 3))}, r"world\.user_taste has shape \(2, 3\), expected \(2, 2\)"),
        ({"item_taste": np.zeros(3)}, r"world\.item_taste has shape \(3,\)"),
        ({"activity": np.array([0.1, np.nan])}, r"world\.activity must be finite, got 1"),
        ({"users": np.array(["ann", "ann"])}, r"world\.users must be at least one id, each only once"),
        ({"category": np.array([0, -1, 2])}, r"world\.category must hold category numbers of at least 0"),
        ({"sigma_0": np.nan}, r"world\.sigma_0 must be finite"),
        ({"item_quality": np.array(["a", "b", "c"])}, r"world\.item_quality must hold float64 values"),
    ],
)
def test_a_wrong_field_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(tiny(), **change)


def test_a_world_keeps_its_own_read_only_copy() -> None:
    prices = np.array([1.0, 2.0, 3.0])
    world = replace(tiny(), price=prices)
    prices[0] = 99.0
    assert world.price[0] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        world.price[0] = 5.0


def test_a_drawn_world_has_the_measured_spreads_and_the_same_seed_the_same_world() -> None:
    one, two = (draw_world(5_000, 2_000, rng=np.random.default_rng(9)) for _ in range(2))
    assert np.array_equal(one.user_taste, two.user_taste)
    assert np.array_equal(one.price, two.price)
    assert np.log(one.activity).std() == pytest.approx(1.0, abs=0.04)
    assert np.median(one.activity) == pytest.approx(0.22, rel=0.06)
    assert one.mobile.mean() == pytest.approx(0.6, abs=0.03)
    assert (one.join_day >= 0).mean() == pytest.approx(0.25, abs=0.03)
    # two items of a category are more alike than two of different ones: .7 of centre, .7 of noise
    same = one.category[:500, None] == one.category[None, :500]
    likeness = one.item_taste[:500] @ one.item_taste[:500].T
    off_diagonal = ~np.eye(500, dtype=bool)
    assert likeness[same & off_diagonal].mean() > likeness[~same].mean() + 0.3

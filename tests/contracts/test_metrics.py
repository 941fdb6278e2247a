"""The contract of every metric in METRICS and CATALOGUE_METRICS: to register one is to have it tested here."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from bakeoff.catalogue import lookup
from recsys.data.interactions import Interactions
from recsys.data.queries import Queries
from recsys.data.recommendations import Recommendations
from recsys.metrics import CATALOGUE_METRICS, METRICS
from recsys.metrics.definitions import DEFINITIONS
from recsys.metrics.judged import Judged, judge

KS = (1, 3, 10, 25)  # the lists of the world below have 10 places
ACCURACY = sorted(name for name, place in METRICS.items() if place.startswith("recsys.metrics.accuracy:"))
BOUNDS = {
    **dict.fromkeys(("precision", "recall", "hit_rate", "mrr", "map", "ndcg", "coverage", "gini"), (0.0, 1.0)),
    "novelty": (0.0, np.log2(40 + 1)),  # the world has 40 users
    "diversity": (0.0, 2.0),
}
PerUser = Callable[[Judged, int], np.ndarray[Any, np.dtype[np.float64]]]


@dataclass(frozen=True)
class World:
    """Random histories, truth and lists: some users cold, some without truth, some lists short or empty."""

    seen: Interactions
    truth: Interactions
    lists: Recommendations
    vectors: np.ndarray[Any, np.dtype[np.float64]]

    def judged(self) -> Judged:
        return judge(self.lists, self.truth, seen=self.seen, item_vectors=self.vectors)

    def listing(self, items: np.ndarray[Any, Any]) -> "World":
        return World(self.seen, self.truth, lists(self.lists.queries, items), self.vectors)


def lists(queries: Queries, items: np.ndarray[Any, Any]) -> Recommendations:
    scores = np.where(items >= 0, 1.0, np.nan).astype(np.float32)
    return Recommendations(queries=queries, items=items.astype(np.int32), scores=scores, model="random")


def rows(pairs: np.ndarray[Any, Any], n_users: int, n_items: int) -> Interactions:
    time = np.zeros(len(pairs), "datetime64[s]")
    return Interactions.of(user=pairs[:, 0], item=pairs[:, 1], time=time, n_users=n_users, n_items=n_items)


def make_world(seed: int, n_users: int = 40, n_items: int = 30, k: int = 10) -> World:
    rng = np.random.default_rng(seed)
    chance = rng.random((n_users, n_items))
    seen = rows(np.argwhere(chance[: n_users - 4] < 0.15), n_users, n_items)  # the last four are cold
    truth = rows(np.argwhere((chance > 0.1) & (chance < 0.35))[40:], n_users, n_items)  # the first have no truth
    items = np.argsort(rng.random((n_users, n_items)), axis=1)[:, :k]
    items[np.arange(k) >= rng.integers(0, 2 * k, (n_users, 1))] = -1
    return World(seen, truth, lists(Queries.of(seen, np.arange(n_users)), items), rng.normal(size=(n_items, 4)))


@pytest.fixture(params=range(3))
def world(request: pytest.FixtureRequest) -> World:
    world = make_world(request.param)
    n_relevant = world.judged().n_relevant
    assert (n_relevant == 0).any()
    assert (n_relevant > 3).any()
    assert (world.lists.items == -1).all(axis=1).any()
    return world


@pytest.fixture(params=sorted(METRICS))
def metric(request: pytest.FixtureRequest) -> PerUser:
    function: PerUser = lookup(METRICS, request.param, "metric")
    return function


@pytest.fixture(params=ACCURACY)
def accuracy(request: pytest.FixtureRequest) -> PerUser:
    function: PerUser = lookup(METRICS, request.param, "metric")
    return function


@pytest.fixture(params=sorted(CATALOGUE_METRICS))
def of_lists(request: pytest.FixtureRequest) -> Callable[[Judged, int], float]:
    function: Callable[[Judged, int], float] = lookup(CATALOGUE_METRICS, request.param, "metric")
    return function


def test_every_metric_has_a_definition_to_log_and_bounds_to_keep() -> None:
    assert set(DEFINITIONS) == set(BOUNDS) == {*METRICS, *CATALOGUE_METRICS}
    assert all(text.startswith("v") for text in DEFINITIONS.values())


@pytest.mark.parametrize("name", sorted(METRICS))
def test_one_value_per_user_within_bounds(world: World, name: str) -> None:
    low, high = BOUNDS[name]
    for k in KS[1:]:  # one item alone has no diversity
        values = lookup(METRICS, name, "metric")(world.judged(), k)
        assert values.shape == (40,)
        assert values.dtype == np.float64
        present = values[~np.isnan(values)]
        assert len(present) > 10
        assert low <= present.min() <= present.max() <= high
        assert present.max() > present.min()  # a metric that says the same of everyone says nothing


def test_accuracy_is_nan_exactly_where_truth_is_empty(world: World, accuracy: PerUser) -> None:
    judged = world.judged()
    for k in KS:
        np.testing.assert_array_equal(np.isnan(accuracy(judged, k)), judged.n_relevant == 0)


def test_an_empty_list_for_a_user_with_truth_is_worth_nothing(world: World, accuracy: PerUser) -> None:
    judged = world.listing(np.full((40, 10), -1)).judged()
    assert set(accuracy(judged, 10)[judged.n_relevant > 0]) == {0.0}


def perfect(world: World) -> World:
    """Lists that start with everything relevant."""
    everything = lists(world.lists.queries, np.tile(np.arange(30), (40, 1)))
    relevant = judge(everything, world.truth, seen=world.seen).hits
    return world.listing(np.argsort(~relevant, axis=1, kind="stable")[:, :10])


def test_the_perfect_list_is_best(world: World, accuracy: PerUser) -> None:
    judged, best = world.judged(), perfect(world).judged()
    told = judged.n_relevant > 0
    for k in KS:
        assert (accuracy(best, k)[told] >= accuracy(judged, k)[told]).all()


@pytest.mark.parametrize("name", ["hit_rate", "map", "mrr", "ndcg"])
def test_the_perfect_list_scores_one(world: World, name: str) -> None:
    judged = perfect(world).judged()
    for k in KS[:3]:
        np.testing.assert_allclose(lookup(METRICS, name, "metric")(judged, k)[judged.n_relevant > 0], 1.0, rtol=1e-12)


def test_a_hit_moved_up_never_hurts(world: World, accuracy: PerUser) -> None:
    judged = world.judged()
    up = np.argsort(~judged.hits, axis=1, kind="stable")
    raised = world.listing(np.take_along_axis(world.lists.items, up, axis=1)).judged()
    told = judged.n_relevant > 0
    for k in KS:
        assert (accuracy(raised, k)[told] >= accuracy(judged, k)[told] - 1e-12).all()


def test_places_below_k_do_not_matter(world: World, metric: PerUser, of_lists: Callable[[Judged, int], float]) -> None:
    cut = world.listing(world.lists.items[:, :3]).judged()
    np.testing.assert_array_equal(metric(cut, 3), metric(world.judged(), 3))
    assert of_lists(cut, 3) == of_lists(world.judged(), 3)


def test_padding_and_a_k_beyond_the_list_change_nothing(
    world: World, metric: PerUser, of_lists: Callable[[Judged, int], float]
) -> None:
    padded = world.listing(np.pad(world.lists.items, ((0, 0), (0, 15)), constant_values=-1)).judged()
    for k in KS:
        np.testing.assert_allclose(metric(padded, k), metric(world.judged(), k), rtol=1e-12, atol=1e-12)
        assert of_lists(padded, k) == of_lists(world.judged(), k)


def test_the_order_of_users_does_not_matter(
    world: World, metric: PerUser, of_lists: Callable[[Judged, int], float], rng: np.random.Generator
) -> None:
    order = rng.permutation(40)
    queries = Queries.of(world.seen, world.lists.queries.users[order])
    turned = World(world.seen, world.truth, lists(queries, world.lists.items[order]), world.vectors).judged()
    for k in KS:
        np.testing.assert_array_equal(metric(turned, k), metric(world.judged(), k)[order])
        assert of_lists(turned, k) == of_lists(world.judged(), k)


def test_the_numbers_of_items_and_users_do_not_matter(
    world: World, metric: PerUser, of_lists: Callable[[Judged, int], float], rng: np.random.Generator
) -> None:
    user, item = rng.permutation(40), rng.permutation(30)

    def renamed(old: Interactions) -> Interactions:
        return rows(np.column_stack([user[old.user], item[old.item]]), 40, 30)

    seen, old = renamed(world.seen), world.lists
    items = np.where(old.items >= 0, item[old.items], -1)
    vectors = np.empty_like(world.vectors)
    vectors[item] = world.vectors
    other = World(seen, renamed(world.truth), lists(Queries.of(seen, user[old.queries.users]), items), vectors).judged()
    for k in KS:
        np.testing.assert_allclose(metric(other, k), metric(world.judged(), k), rtol=1e-12, atol=1e-12)
        assert of_lists(other, k) == pytest.approx(of_lists(world.judged(), k))


def test_what_was_seen_is_not_relevant(world: World, accuracy: PerUser) -> None:
    again = World(world.seen, world.truth + world.seen, world.lists, world.vectors).judged()
    np.testing.assert_array_equal(accuracy(again, 10), accuracy(world.judged(), 10))


def test_inputs_are_not_written_to(world: World, metric: PerUser, of_lists: Callable[[Judged, int], float]) -> None:
    arrays = (world.lists.items, world.lists.scores, world.truth.user, world.truth.item, world.seen.item, world.vectors)
    for array in arrays:
        array.setflags(write=False)
    judged = world.judged()
    judged.hits.setflags(write=False)
    judged.n_relevant.setflags(write=False)
    first, second = metric(judged, 10), metric(judged, 10)
    np.testing.assert_array_equal(first, second)
    assert of_lists(judged, 10) == of_lists(judged, 10)


def test_no_lists_give_no_values(world: World, metric: PerUser, of_lists: Callable[[Judged, int], float]) -> None:
    queries = Queries.of(world.seen, np.empty(0, np.int32))
    none = World(world.seen, world.truth, lists(queries, np.empty((0, 10))), world.vectors).judged()
    assert metric(none, 10).shape == (0,)
    assert np.isnan(of_lists(none, 10))


@pytest.mark.parametrize("name", ["coverage", "gini"])
def test_catalogue_metrics_stay_within_bounds(world: World, name: str) -> None:
    low, high = BOUNDS[name]
    for k in KS:
        assert low <= lookup(CATALOGUE_METRICS, name, "metric")(world.judged(), k) <= high


def test_k_below_one_is_refused(world: World, metric: PerUser, of_lists: Callable[[Judged, int], float]) -> None:
    for function in (metric, of_lists):
        for k in (0, -1):
            with pytest.raises(ValueError, match=f"k must be >= 1, got {k}"):
                function(world.judged(), k)

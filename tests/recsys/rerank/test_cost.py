"""The cost of a reranker, on lists of which the truth is known."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from recsys.data.dataset import Dataset
from recsys.data.interactions import Interactions
from recsys.data.recommendations import Recommendations
from recsys.rerank.base import create
from recsys.rerank.cost import Change, cost, costs
from recsys.rerank.mmr import MMR
from recsys.rerank.spacing import Spacing
from tests.recsys.rerank.conftest import sampled
from tests.worlds import dataset, random_market


@pytest.fixture
def world() -> Dataset:
    """Three users with a like of item 0; items 1 and 2 are tea, item 3 is a mug."""
    data = dataset([(0, 0), (1, 0), (2, 0)], n_users=3, n_items=4)
    return dataclasses.replace(data, item_features={"category": np.array(["", "tea", "tea", "mug"], dtype=object)})


def found(*pairs: tuple[int, int]) -> Interactions:
    return dataset(pairs, n_users=3, n_items=4).interactions


def by_name(changes: list[Change]) -> dict[str, Change]:
    return {change.measure: change for change in changes}


def test_by_hand(world: Dataset, ranked: Callable[..., Recommendations], rng: np.random.Generator) -> None:
    lists = ranked(world, [[1, 2, 3]] * 3, users=[0, 1, 2])
    truth = found((0, 1), (1, 2), (2, 3))
    changes = by_name(cost(Spacing().fit(world), lists, truth, seen=world, k=2, rng=rng))
    # tea, mug instead of tea, tea: user 1 loses what he had in place 2, user 2 gains it
    second = 1 / np.log2(3)
    assert changes["ndcg_2"].before == pytest.approx((1 + second) / 3)
    assert changes["ndcg_2"].after == pytest.approx((1 + second) / 3)
    difference = changes["ndcg_2"].difference
    assert difference is not None
    assert (difference.share_better, difference.share_worse) == (pytest.approx(1 / 3), pytest.approx(1 / 3))
    assert (changes["crowding"].before, changes["crowding"].after) == (0.5, 0.0)
    assert changes["diversity_2"].after == pytest.approx(1.0)
    assert changes["coverage_2"].difference is None
    assert {name for name, change in changes.items() if change.own} == {"crowding"}


def test_a_reranker_that_changes_nothing_costs_nothing(rng: np.random.Generator) -> None:
    data = random_market(rng, 40, 60, 800)
    lists = sampled(data, rng, n=40, m=20, users=range(40))
    truth = random_market(np.random.default_rng(1), 40, 60, 300).interactions
    for change in cost(MMR(strength=0.0).fit(data), lists, truth, seen=data, k=10, rng=rng):
        assert change.before == pytest.approx(change.after, nan_ok=True)
        assert change.difference is None or change.difference.difference == 0


def test_more_diversity_is_paid_for_in_accuracy_when_the_scores_are_right(rng: np.random.Generator) -> None:
    data = random_market(rng, 60, 80, 1_500)
    lists = sampled(data, rng, n=60, m=40, users=range(60))
    # the truth: the first five of each list are what the user takes next
    user = np.repeat(np.arange(60), 5)
    truth = dataset(
        np.column_stack([user, lists.items[:, :5].ravel()]), n_users=60, n_items=80, name="what came next"
    ).interactions
    rerankers = {f"mmr {s}": create("mmr", strength=s, relevance="rank") for s in (0.2, 0.8)}
    changes = costs(rerankers, lists, truth, seen=data, k=10, seed=3)
    price = {c.reranker: c.difference for c in changes if c.measure == "ndcg_10"}
    gain = {c.reranker: c.difference for c in changes if c.measure == "diversity_10"}
    for part in (price, gain):
        assert all(part.values())
    strong_price, strong_gain, weak_price = price["mmr 0.8"], gain["mmr 0.8"], price["mmr 0.2"]
    assert strong_price is not None
    assert strong_gain is not None
    assert weak_price is not None
    assert strong_price.high < 0 < strong_gain.low
    assert strong_price.difference < weak_price.difference


def test_lists_without_candidates_to_choose_from_are_refused(
    world: Dataset, ranked: Callable[..., Recommendations], rng: np.random.Generator
) -> None:
    with pytest.raises(ValueError, match="must be longer than k = 3, got 3 places"):
        cost(Spacing().fit(world), ranked(world, [[1, 2, 3]]), found(), seen=world, k=3, rng=rng)

"""A pipeline that is watched while its trees grow."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from recsys.data.dataset import Dataset
from recsys.data.queries import Queries
from recsys.hybrid.candidates import Candidates
from recsys.hybrid.looks import Described, Looks
from recsys.hybrid.pipeline import Pipeline
from recsys.models.base import Recommender, create
from recsys.recommend import recommend
from tests.recsys.hybrid.conftest import SOURCES, every_item


def pipeline(**ranker: Any) -> Pipeline:
    made = create("pipeline", candidates=SOURCES, ranker={"n_trees": 35, "min_leaf": 20, "held_out": 0.0, **ranker})
    assert isinstance(made, Pipeline)
    return made


def seen_while_fitted(model: Pipeline, market: Dataset, queries: Queries) -> list[tuple[int, int, Any]]:
    """(epoch, trees, scores) of each look."""
    seen: list[tuple[int, int, Any]] = []

    def look(epoch: int, unfinished: Recommender) -> None:
        assert isinstance(unfinished, Pipeline)
        assert unfinished.trees is not None
        seen.append((epoch, unfinished.trees.n_grown, recommend(unfinished, queries, 10).scores))

    model.fit(market, watch=look)
    return seen


def test_an_epoch_is_ten_trees_and_a_look_is_the_pipeline_with_these(market: Dataset) -> None:
    queries = Queries.of(market.interactions, np.arange(30))
    watched = pipeline()
    seen = seen_while_fitted(watched, market, queries)
    assert [(epoch, trees) for epoch, trees, _ in seen] == [(1, 10), (2, 20), (3, 30)]
    for epoch, trees, scores in seen:
        alone = recommend(pipeline(n_trees=trees).fit(market), queries, 10).scores
        np.testing.assert_array_equal(scores, alone, err_msg=f"epoch {epoch}")


@pytest.mark.parametrize("ranker", [{}, {"held_out": 0.3, "patience": 5}, {"objective": "click"}])
def test_whoever_watches_changes_nothing(market: Dataset, ranker: dict[str, Any]) -> None:
    queries = Queries.of(market.interactions, np.arange(30))
    watched, alone = pipeline(**ranker), pipeline(**ranker).fit(market)
    assert seen_while_fitted(watched, market, queries)
    assert alone.trees is not None
    assert watched.trees is not None
    assert watched.trees.n_grown == alone.trees.n_grown
    np.testing.assert_array_equal(recommend(watched, queries, 10).scores, recommend(alone, queries, 10).scores)


def test_a_watcher_can_stop_the_fit(market: Dataset) -> None:
    def stop(epoch: int, unfinished: Recommender) -> None:
        raise StopIteration(epoch)

    with pytest.raises(StopIteration, match="1"):
        pipeline().fit(market, watch=stop)


def test_without_a_ranker_there_is_nothing_to_watch(market: Dataset) -> None:
    create("pipeline", candidates=SOURCES, ranker=None).fit(market, watch=lambda *_: pytest.fail("there are no epochs"))


# --- what is described once ---


@pytest.fixture
def describe() -> Callable[[Queries], tuple[Callable[[], Described], list[int]]]:
    """What describes queries by three features of 120 items, and a list that grows by each time it is asked."""

    def of(queries: Queries) -> tuple[Callable[[], Described], list[int]]:
        asked: list[int] = []

        def made() -> Described:
            asked.append(1)
            candidates: Candidates = every_item(queries, 120)
            return candidates, np.zeros((len(candidates.items), 3), np.float32)

        return made, asked

    return of


def test_the_same_queries_are_described_once_and_others_for_themselves(market: Dataset, describe: Any) -> None:
    looks = Looks()
    one, other = (Queries.of(market.interactions, np.array([user])) for user in (1, 2))
    made, asked = describe(one)
    for queries in (one, other, one, Queries.of(market.interactions, np.array([1])), other):
        looks.of(queries, made)
    assert len(asked) == 2
    later = dataclasses.replace(one, times=one.times + 1)
    looks.of(later, made)
    assert len(asked) == 3
    at = dataclasses.replace(one, context={"time": np.array([market.interactions.time[-1]])})
    looks.of(at, made)
    looks.of(at, made)
    assert len(asked) == 5  # who asks at a moment of his own is asked for himself


def test_no_more_is_kept_than_allowed_and_what_is_kept_stays(market: Dataset, describe: Any) -> None:
    looks = Looks(most_bytes=120 * 3 * 4)
    one, other = (Queries.of(market.interactions, np.array([user])) for user in (1, 2))
    first, of_first = describe(one)
    second, of_second = describe(other)
    for _ in range(3):
        looks.of(one, first)
        looks.of(other, second)
    assert (len(of_first), len(of_second)) == (1, 3)

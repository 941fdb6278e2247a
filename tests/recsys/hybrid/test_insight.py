"""What a pipeline did with an item: origins as its sources say, contributions that add up to its score."""

from typing import Any

import numpy as np
import pytest

from recsys.data.dataset import Dataset
from recsys.data.queries import Queries
from recsys.hybrid.insight import insights
from recsys.hybrid.pipeline import Pipeline
from recsys.models.base import create
from recsys.recommend import recommend
from tests.worlds import random_market

PARTS: dict[str, Any] = {
    "candidates": [{"model": "item_knn", "m": 6}, {"model": "popularity", "m": 6}],
    "features": ["origins"],
    "ranker": {"n_trees": 20, "min_leaf": 2, "learning_rate": 0.2},
    "learn_from": {"size": 0.3},
}


@pytest.fixture(scope="module")
def market() -> Dataset:
    return random_market(np.random.default_rng(1), 40, 30, 500)


@pytest.fixture(scope="module")
def pipeline(market: Dataset) -> Pipeline:
    return Pipeline(**PARTS).fit(market)


def test_origins_are_the_places_in_the_sources_lists(pipeline: Pipeline, market: Dataset) -> None:
    query = Queries.of(market.interactions, np.array([3]))
    items = recommend(pipeline, query, 5).items[0]
    lists = {
        name: recommend(create(name).fit(market), query, 6).items[0].tolist() for name in ("item_knn", "popularity")
    }
    for item, insight in zip(items.tolist(), insights(pipeline, query, items), strict=True):
        expected = {name: row.index(item) + 1 for name, row in lists.items() if item in row}
        assert {name: rank for name, (rank, _) in insight.named_by.items()} == expected


def test_contributions_add_up_to_the_score_and_the_largest_comes_first(pipeline: Pipeline, market: Dataset) -> None:
    query = Queries.of(market.interactions, np.array([5]))
    lists = recommend(pipeline, query, 5)
    for score, insight in zip(lists.scores[0], insights(pipeline, query, lists.items[0]), strict=True):
        added = [added for _, added in insight.contributions.values()]
        assert insight.start + sum(added) == pytest.approx(float(score), abs=1e-4)
        assert np.abs(added).tolist() == sorted(np.abs(added), reverse=True)
        assert set(insight.contributions) == set(pipeline.feature_table())


def test_without_a_ranker_there_are_only_origins(market: Dataset) -> None:
    plain = Pipeline(**PARTS | {"ranker": None}).fit(market)
    query = Queries.of(market.interactions, np.array([3]))
    (insight,) = insights(plain, query, recommend(plain, query, 1).items[0])
    assert insight.named_by
    assert insight.contributions == {}
    assert np.isnan(insight.start)


def test_an_item_that_nobody_named_is_refused(pipeline: Pipeline, market: Dataset) -> None:
    query = Queries.of(market.interactions, np.array([3]))
    seen = market.interactions.item[market.interactions.user == 3][:1]
    with pytest.raises(ValueError, match=f"no source of the pipeline named item {seen[0]}"):
        insights(pipeline, query, seen)
    with pytest.raises(ValueError, match="one query at a time, got 2"):
        insights(pipeline, Queries.of(market.interactions, np.array([3, 4])), seen)

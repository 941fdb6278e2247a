import dataclasses
from typing import Any

import numpy as np
import pytest

from recsys.data.dataset import Dataset
from recsys.data.queries import Queries
from recsys.hybrid.features.base import Past
from recsys.hybrid.features.builder import Features
from recsys.hybrid.pipeline import Pipeline
from recsys.hybrid.sharing import Shared
from recsys.hybrid.stations import Source
from recsys.models.base import create
from recsys.recommend import recommend
from tests.recsys.hybrid.conftest import SOURCES


def source(model: str = "item_knn", **params: Any) -> Source:
    return Source.of({"model": model, "params": params})


def without_last(data: Dataset) -> Dataset:
    rows = data.interactions
    return data.keep(rows.where(np.arange(len(rows)) < len(rows) - 1))


def again(data: Dataset) -> Dataset:
    """The same rows in other arrays."""
    rows = data.interactions
    return data.keep(rows.where(np.ones(len(rows), np.bool_)))


def test_the_same_source_on_the_same_rows_is_fitted_once(market: Dataset) -> None:
    shared = Shared()
    one = shared.source(source(neighbours=20), market)
    assert shared.source(source(neighbours=20), again(market)) is one
    assert shared.source(source(neighbours=20, shrink=0.0), market) is one  # its default, in words
    assert (shared.fitted, shared.found) == (1, 2)


def test_other_parameters_models_rows_or_features_of_items_are_fitted_for_themselves(market: Dataset) -> None:
    shared = Shared()
    renamed = {**market.item_features, "title": market.item_features["title"][::-1]}
    made = [
        shared.source(source(neighbours=20), market),
        shared.source(source(neighbours=21), market),
        shared.source(source("popularity"), market),
        shared.source(source(neighbours=20), without_last(market)),
        shared.source(source(neighbours=20), dataclasses.replace(market, item_features=renamed)),
    ]
    assert len({id(model) for model in made}) == len(made) == shared.fitted
    assert [model.params().get("neighbours") for model in made] == [20, 21, None, 20, 20]


def test_groups_are_shared_by_past_and_moment_and_the_rows_are_the_same(market: Dataset) -> None:
    end = market.interactions.time[-1].astype("datetime64[s]")
    shared = Shared()
    for cutoff, fitted in ((end + 1, 2), (end + 1, 2), (end + 2, 4)):
        past = Past(dataset=again(market), cutoff=cutoff, origins=("a",))
        mine = Features(["popularity", "latent"]).fit(past, shared.group)
        assert shared.fitted == fitted
        alone = Features(["popularity", "latent"]).fit(past)
        assert mine.table() == alone.table()
        for name, array in alone.state().items():
            np.testing.assert_array_equal(mine.state()[name], array)


def test_no_more_is_kept_than_allowed_and_what_was_asked_for_last_stays(market: Dataset) -> None:
    size = sum(array.nbytes for array in create("als", factors=8, iterations=1).fit(market).state().values())
    shared = Shared(most_bytes=2 * size)
    asked = [source("als", factors=8, iterations=1, seed=seed) for seed in (1, 2, 1, 3, 1, 2)]
    told = []
    for each in asked:
        shared.source(each, market)
        told.append((shared.fitted, shared.found))
        assert shared.bytes <= 2 * size
    assert told == [(1, 0), (2, 0), (2, 1), (3, 1), (3, 2), (4, 2)]  # 2 had to go for 3
    shared.source(source("als", factors=64, iterations=1), market)
    assert shared.bytes == 2 * size  # what is above it all pushes nothing out


def test_keeping_nothing_is_fitting_each_time(market: Dataset) -> None:
    shared = Shared(most_bytes=0)
    assert shared.source(source(), market) is not shared.source(source(), market)
    with pytest.raises(ValueError, match="most_bytes must be >= 0, got -1; 0 keeps nothing"):
        Shared(most_bytes=-1)


def test_pipelines_that_share_are_those_that_do_not(market: Dataset) -> None:
    queries, shared = Queries.of(market.interactions, np.arange(40)), Shared()
    for params in ({}, {"features": {"graph": False}}, {"learn_from": {"size": 0.3}}, {"ranker": None}, {}):
        made = [create("pipeline", candidates=SOURCES, **{"ranker": {"n_trees": 10}, **params}) for _ in range(2)]
        mine, alone = made
        assert isinstance(mine, Pipeline)
        one = recommend(mine.sharing(shared).fit(market), queries, 10)
        two = recommend(alone.fit(market), queries, 10)
        np.testing.assert_array_equal(one.items, two.items)
        np.testing.assert_array_equal(one.scores, two.scores)
    parts = len(SOURCES) + len(Features().groups)
    assert shared.fitted == 3 * parts  # on everything, on the past of a slice of 0.2, and on that of one of 0.3
    # without graph one group less, twice; of the slice of 0.3 the half; without a ranker the sources on everything
    assert shared.found == 2 * (parts - 1) + parts + len(SOURCES) + 2 * parts

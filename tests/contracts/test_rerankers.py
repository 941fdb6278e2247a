"""What every registered reranker must do. To register a reranker is to be tested here."""

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.data.queries import Queries
from recsys.data.recommendations import Recommendations
from recsys.ranking import top_k
from recsys.rerank import RERANKERS
from recsys.rerank.base import Reranker, create
from tests.worlds import random_market

N_USERS, N_ITEMS = 30, 20
# a reranker that is not named here is tested as it comes
PARAMS: dict[str, dict[str, Any]] = {
    "calibration": {"column": "parity"},
    "spacing": {"columns": ["parity"]},
    "rules": {
        "rules": [
            {"rule": "drop", "column": "_users", "low": 12},
            {"rule": "boost", "column": "_age_days"},
            {"rule": "promote", "column": "_users", "high": 3, "at_most": 2},
            {"rule": "floor", "column": "parity", "values": ["odd"], "at_least": 2},
        ]
    },
}
# these may leave places empty although there are candidates
FORBIDDING = {"rules"}
MAKERS = {name: PARAMS.get(name, {}) for name in RERANKERS}


@pytest.fixture(params=sorted(MAKERS))
def make(request: pytest.FixtureRequest) -> Callable[..., Reranker]:
    return lambda **more: create(request.param, **MAKERS[request.param] | more)


@pytest.fixture
def market(rng: np.random.Generator) -> Dataset:
    return random_market(rng, N_USERS, N_ITEMS, weighted=True)


def lists(data: Dataset, rng: np.random.Generator, *, m: int = 12, n: int = N_USERS) -> Recommendations:
    """Random items for users 0..n-1 (the last one anonymous), best first; the third has three items, the fourth none.

    The last places of the second list come from the fallback; the scores of the first all tie.
    """
    scores = rng.normal(size=(n, len(data.items))).round(1).astype(np.float32)
    items, best = top_k(scores, m)
    best[0] = 0.5
    best[1, m // 2 :] = np.nan
    items[2, 3:], best[2, 3:] = -1, np.nan
    items[3], best[3] = -1, np.nan
    users = np.append(np.arange(n - 1), -1)
    return Recommendations(queries=Queries.of(data.interactions, users), items=items, scores=best, model="random")


def same(left: Recommendations, right: Recommendations) -> bool:
    return np.array_equal(left.items, right.items) and np.array_equal(left.scores, right.scores, equal_nan=True)


def listed(row: NDArray[np.int32]) -> set[int]:
    return set(row[row >= 0].tolist())


@pytest.mark.parametrize("k", [1, 5, 12, 15])
def test_only_given_items_each_once_and_at_most_k(
    make: Callable[..., Reranker], market: Dataset, rng: np.random.Generator, k: int
) -> None:
    before = lists(market, rng)
    after = make().fit(market).rerank(before, k)
    assert after.items.shape == after.scores.shape == (N_USERS, k)
    assert after.items.dtype == np.int32
    assert after.scores.dtype == np.float32
    assert after.model == before.model
    for old, new in zip(before.items, after.items, strict=True):
        size = len(listed(new))
        assert listed(new) <= listed(old)
        assert (new[:size] >= 0).all()
        assert (new[size:] == -1).all()
        assert size == min(k, len(listed(old))) or make().name in FORBIDDING


def test_scores_fall_from_place_to_place_and_are_missing_only_where_they_were(
    make: Callable[..., Reranker], market: Dataset, rng: np.random.Generator
) -> None:
    before = lists(market, rng)
    after = make().fit(market).rerank(before, 8)
    for old, new, had, dealt in zip(before.items, after.items, before.scores, after.scores, strict=True):
        unscored = set(old[(old >= 0) & np.isnan(had)].tolist())
        assert {int(i) for i, s in zip(new, dealt, strict=True) if i >= 0 and np.isnan(s)} == unscored & listed(new)
        scored = dealt[~np.isnan(dealt)]
        assert (np.diff(scored) < 0).all()
        if len(scored):
            assert scored.max() <= np.nanmax(had)
            assert scored.min() >= np.nanmin(had) - 1e-5


def test_sorting_by_score_gives_the_same_order(
    make: Callable[..., Reranker], market: Dataset, rng: np.random.Generator
) -> None:
    after = make().fit(market).rerank(lists(market, rng), 8)
    whole = np.full((N_USERS, N_ITEMS), np.nan, np.float32)
    row, place = np.nonzero(~np.isnan(after.scores))
    whole[row, after.items[row, place]] = after.scores[row, place]
    again, _ = top_k(whole, 8)
    scored = [i for i in range(N_USERS) if i != 1]  # the list with places from the fallback
    assert np.array_equal(again[scored], after.items[scored])


def test_state_restored_in_another_one_gives_the_same_lists(
    make: Callable[..., Reranker], market: Dataset, rng: np.random.Generator
) -> None:
    first = make().fit(market)
    params = json.loads(json.dumps(first.params()))
    second = create(first.name, **params).restore({name: array.copy() for name, array in first.state().items()})
    before = lists(market, rng)
    assert second.params() == first.params()
    assert same(first.rerank(before, 7), second.rerank(before, 7))
    for name, values in first.measures(before).items():
        np.testing.assert_array_equal(second.measures(before)[name], values)
    assert all(array.dtype.kind != "O" for array in first.state().values())  # arrays of objects would need pickle


def test_a_state_with_a_missing_a_strange_or_a_misshapen_array_is_refused(
    make: Callable[..., Reranker], market: Dataset
) -> None:
    state = make().fit(market).state()
    name = min(state)
    missing = {key: array for key, array in state.items() if key != name}
    for bad in (missing, state | {"strange": np.zeros(1)}, state | {name: state[name][None]}):
        with pytest.raises(ValueError, match=r"holds|must be"):
            make().restore(bad)


def test_one_that_is_not_fitted_refuses(
    make: Callable[..., Reranker], market: Dataset, rng: np.random.Generator
) -> None:
    with pytest.raises(RuntimeError, match="not fitted"):
        make().state()
    with pytest.raises(RuntimeError, match="not fitted"):
        make().rerank(lists(market, rng), 3)


def test_nothing_handed_in_is_written_to(
    make: Callable[..., Reranker], market: Dataset, rng: np.random.Generator
) -> None:
    fingerprint, before = market.fingerprint, lists(market, rng)
    items, scores = before.items.copy(), before.scores.copy()
    for array in (before.items, before.scores, before.queries.items, market.interactions.item):
        array.flags.writeable = False
    reranker = make().fit(market)
    reranker.measures(reranker.rerank(before, 5))
    assert dataclasses.replace(market).fingerprint == fingerprint
    assert np.array_equal(before.items, items)
    assert np.array_equal(before.scores, scores, equal_nan=True)


def test_a_list_does_not_depend_on_its_neighbours(
    make: Callable[..., Reranker], market: Dataset, rng: np.random.Generator
) -> None:
    before, reranker = lists(market, rng), make().fit(market)
    together = reranker.rerank(before, 6)
    for i in range(N_USERS):
        alone = Recommendations(
            queries=before.queries.block(i, i + 1),
            items=before.items[i : i + 1],
            scores=before.scores[i : i + 1],
            model=before.model,
        )
        assert np.array_equal(reranker.rerank(alone, 6).items[0], together.items[i])


def test_no_lists_and_lists_without_places_stay_empty(
    make: Callable[..., Reranker], market: Dataset, rng: np.random.Generator
) -> None:
    before, reranker = lists(market, rng), make().fit(market)
    for n, m in ((0, 12), (N_USERS, 0)):
        empty = Recommendations(
            queries=before.queries.block(0, n), items=before.items[:n, :m], scores=before.scores[:n, :m], model="x"
        )
        after = reranker.rerank(empty, 4)
        assert after.items.shape == (n, 4)
        assert (after.items == -1).all()
        assert all(len(values) == n for values in reranker.measures(after).values())


def test_measures_are_one_number_per_list(
    make: Callable[..., Reranker], market: Dataset, rng: np.random.Generator
) -> None:
    reranker = make().fit(market)
    measures = reranker.measures(lists(market, rng))
    assert measures
    for values in measures.values():
        assert values.shape == (N_USERS,)
        assert np.isnan(values[3])  # the empty list
        assert not np.isinf(values).any()


def test_other_item_numbers_give_the_same_lists(
    make: Callable[..., Reranker], market: Dataset, rng: np.random.Generator
) -> None:
    renumbered = rng.permutation(N_ITEMS).astype(np.int32)
    rows = market.interactions
    other = dataclasses.replace(
        market,
        interactions=dataclasses.replace(rows, item=renumbered[rows.item]),
        item_features={name: values[np.argsort(renumbered)] for name, values in market.item_features.items()},
    )
    before = lists(market, rng)
    renamed = Recommendations(
        queries=Queries.of(other.interactions, before.queries.users),
        items=np.where(before.items < 0, before.items, renumbered[before.items]),
        scores=before.scores,
        model=before.model,
    )
    after, again = make().fit(market).rerank(before, 6), make().fit(other).rerank(renamed, 6)
    assert np.array_equal(np.where(after.items < 0, after.items, renumbered[after.items]), again.items)


@pytest.mark.parametrize("item", [N_ITEMS, N_ITEMS + 7])
def test_items_of_another_vocabulary_are_refused(
    make: Callable[..., Reranker], market: Dataset, rng: np.random.Generator, item: int
) -> None:
    before = lists(market, rng)
    before.items[0, 0] = item
    with pytest.raises(ValueError, match=f"item number {item}"):
        make().fit(market).rerank(before, 3)


def test_a_list_cannot_have_no_places(make: Callable[..., Reranker], market: Dataset, rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match="k must be"):
        make().fit(market).rerank(lists(market, rng), 0)


def test_strange_names_and_parameters_are_refused() -> None:
    with pytest.raises(LookupError, match="did you mean 'novelty'"):
        create("noveltyy")
    for name, params in MAKERS.items():
        with pytest.raises(ValueError, match="has no parameter 'strenght'"):
            create(name, strenght=1, **params)


WEIGHED = [name for name, params in MAKERS.items() if "strength" in create(name, **params).params()]


@pytest.mark.parametrize("name", WEIGHED)
@pytest.mark.parametrize("relevance", ["score", "rank"])
def test_strength_zero_keeps_the_first_k(name: str, relevance: str, market: Dataset, rng: np.random.Generator) -> None:
    before = lists(market, rng)
    kept = create(name, **MAKERS[name] | {"strength": 0.0, "relevance": relevance}).fit(market).rerank(before, 6)
    assert np.array_equal(kept.items, before.items[:, :6])


@pytest.mark.parametrize("name", WEIGHED)
@pytest.mark.parametrize("params", [{"strength": -0.1}, {"strength": 1.1}, {"relevance": "sore"}])
def test_a_strength_outside_0_to_1_or_an_unknown_scale_is_refused(name: str, params: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(params))} of reranker '{name}' must be"):
        create(name, **MAKERS[name] | params)


@pytest.mark.parametrize("name", WEIGHED)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), k=st.integers(1, 14), strength=st.floats(0, 1))
def test_a_law_for_any_lists(name: str, seed: int, k: int, strength: float) -> None:
    rng = np.random.default_rng(seed)
    data = random_market(rng, N_USERS, N_ITEMS)
    before = lists(data, rng)
    after = create(name, **MAKERS[name] | {"strength": strength}).fit(data).rerank(before, k)
    for old, new in zip(before.items, after.items, strict=True):
        assert len(listed(new)) == min(k, len(listed(old)))
        assert listed(new) <= listed(old)

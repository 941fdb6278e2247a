"""Fusion, by hand and by its laws."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.data.queries import Queries
from recsys.data.recommendations import Recommendations
from recsys.hybrid.fusion import Fusion, fuse
from recsys.models.bpr import BPR
from recsys.models.item_knn import ItemKNN
from recsys.models.popularity import Popularity
from recsys.recommend import recommend
from tests.worlds import dataset, random_market

NAN = float("nan")


@pytest.fixture
def market(rng: np.random.Generator) -> Dataset:
    return random_market(rng)


def ask(data: Dataset, users: Any) -> Queries:
    return Queries.of(data.interactions, np.asarray(users))


NOBODY = dataset([(0, 0)], n_users=1, n_items=9)


def ranked(*rows: list[int], scores: list[list[float]] | None = None) -> Recommendations:
    items = np.array(rows, np.int32)
    given = np.where(items < 0, np.nan, 1.0) if scores is None else np.array(scores)
    return Recommendations(
        queries=ask(NOBODY, [-1] * len(rows)), items=items, scores=given.astype(np.float32), model="written down"
    )


def test_two_lists_by_hand() -> None:
    fused = fuse([ranked([3, 1, 2]), ranked([2, 3, 5])], [1.0, 2.0], smoothing=10, k=4)
    # 2: 1/13 + 2/11; 3: 1/11 + 2/12; 5: 2/13; 1: 1/12
    assert fused.items.tolist() == [[2, 3, 5, 1]]
    np.testing.assert_allclose(fused.scores[0], [1 / 13 + 2 / 11, 1 / 11 + 2 / 12, 2 / 13, 1 / 12], rtol=1e-6)


def test_scores_are_brought_to_one_scale_within_each_list() -> None:
    one = ranked([3, 1, 2], scores=[[10.0, 9.0, 0.0]])
    other = ranked([2, 3, -1], scores=[[0.02, 0.01, NAN]])
    fused = fuse([one, other], [1.0, 2.0], rule="scores", k=4)
    # 2: 0 + 2 * 1; 3: 1 + 0; 1: 0.9
    assert fused.items.tolist() == [[2, 3, 1, -1]]
    np.testing.assert_allclose(fused.scores[0, :3], [2.0, 1.0, 0.9], rtol=1e-6)


def test_sharpness_makes_a_clear_favourite_count_for_more() -> None:
    one = ranked([3, 1, 2], scores=[[10.0, 9.0, 0.0]])
    other = ranked([1, 3, 2], scores=[[4.0, 2.0, 0.0]])
    fused = fuse([one, other], rule="scores", sharpness=2.0, k=3)
    # 1: .9^2 + 1; 3: 1 + .5^2
    assert fused.items.tolist() == [[1, 3, 2]]
    np.testing.assert_allclose(fused.scores[0], [1.81, 1.25, 0.0], rtol=1e-6)
    with pytest.raises(ValueError, match="sharpness must be a finite number > 0, got 0"):
        Fusion([{"model": "popularity"}], rule="scores", sharpness=0)


def test_scores_that_are_all_the_same_count_in_full() -> None:
    fused = fuse([ranked([5], scores=[[-3.0]]), ranked([1, 2], scores=[[4.0, 4.0]])], rule="scores", k=3)
    assert (fused.items.tolist(), fused.scores.tolist()) == ([[1, 2, 5]], [[1.0, 1.0, 1.0]])


def test_votes_are_those_of_borda() -> None:
    fused = fuse([ranked([3, 1, 2]), ranked([2, -1, -1]), ranked([1, 2, -1])], rule="votes", k=3)
    # 2: 1/3 + 1 + 1/2; 1: 2/3 + 1; 3: 1
    assert fused.items.tolist() == [[2, 1, 3]]
    np.testing.assert_allclose(fused.scores[0], [11 / 6, 5 / 3, 1.0], rtol=1e-6)


@pytest.mark.parametrize("rule", ["scores", "votes"])
def test_silence_and_places_of_the_fallback_count_by_no_rule(rule: Any) -> None:
    silent = ranked([4, 6], scores=[[NAN, NAN]])
    assert fuse([silent, ranked([2, 1])], rule=rule, k=3).items[0, 2] == -1


def test_a_rule_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="rule must be one of 'reciprocal_rank', 'scores', 'votes', got 'mean'"):
        fuse([ranked([1])], rule="mean", k=1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="rule must be one of"):
        Fusion([{"model": "popularity"}], rule="mean")  # type: ignore[arg-type]


def test_equal_sums_are_ordered_by_item_number_whatever_the_order_of_the_lists() -> None:
    lists = [ranked([7, 4, 1]), ranked([4, 1, 7]), ranked([1, 7, 4])]
    for order in ([0, 1, 2], [2, 0, 1], [1, 2, 0], [2, 1, 0]):
        assert fuse([lists[i] for i in order], k=3).items.tolist() == [[1, 4, 7]]


def test_padding_and_places_of_the_fallback_do_not_count() -> None:
    filled = ranked([1, 2, 3], [5, 6, -1], scores=[[0.5, NAN, NAN], [NAN, NAN, NAN]])
    fused = fuse([filled, ranked([2, 4, -1], [7, 8, -1])], k=4)
    assert fused.items.tolist() == [[1, 2, 4, -1], [7, 8, -1, -1]]
    assert np.isnan(fused.scores[1]).tolist() == [False, False, True, True]


def test_part_of_weight_zero_brings_no_items() -> None:
    assert fuse([ranked([1, 2]), ranked([3, 4])], [1, 0], k=4).items.tolist() == [[1, 2, -1, -1]]


LISTS = st.lists(st.permutations(range(8)).map(lambda p: p[:5]), min_size=1, max_size=4)


@given(LISTS, st.data())
def test_scaling_the_weights_and_ordering_the_lists_change_no_list(rows: list[list[int]], data: st.DataObject) -> None:
    weights = data.draw(st.lists(st.integers(1, 9), min_size=len(rows), max_size=len(rows)))
    order = data.draw(st.permutations(range(len(rows))))
    whole = fuse([ranked(row) for row in rows], weights, k=8)
    scaled = fuse([ranked(row) for row in rows], [4 * w for w in weights], k=8)
    swapped = fuse([ranked(rows[i]) for i in order], [weights[i] for i in order], k=8)
    assert np.array_equal(whole.items, scaled.items)
    assert np.array_equal(whole.items, swapped.items)


@given(LISTS)
def test_a_list_fused_with_itself_keeps_its_order(rows: list[list[int]]) -> None:
    assert fuse([ranked(rows[0])] * 3, k=5).items.tolist() == [rows[0]]


def test_lists_for_different_queries_are_refused() -> None:
    other = Recommendations(
        queries=ask(NOBODY, [0]), items=np.zeros((1, 1), np.int32), scores=np.ones((1, 1), np.float32), model="other"
    )
    with pytest.raises(ValueError, match="'written down' and 'other' answer different queries"):
        fuse([ranked([1]), other], k=1)


@pytest.mark.parametrize("weights", [[-1, 2], [0, 0], [1], [1, NAN], [[1], [2]]])
def test_weights_that_make_no_sense_are_refused(weights: Any) -> None:
    with pytest.raises(ValueError, match="weights must be"):
        fuse([ranked([1]), ranked([2])], weights, k=1)
    with pytest.raises(ValueError, match="weights must be"):
        Fusion([{"model": "popularity"}, {"model": "item_knn"}], weights=weights)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([], "at least one part"),
        ([{"params": {}}], "a part of a fusion is"),
        ([{"model": "popularity", "weight": 1}], "a part of a fusion is"),
        ([{"model": "popularity", "params": {"days": 1}}], "no parameter 'days'"),
    ],
)
def test_parts_are_checked_when_the_fusion_is_made(parts: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Fusion(parts)


def expected(fusion: Fusion, models: list[Any], queries: Queries) -> NDArray[np.int32]:
    lists = [recommend(model, queries, fusion.depth) for model in models]
    return fuse(lists, fusion.weights, smoothing=fusion.smoothing, k=5).items


def test_model_gives_what_the_pure_function_gives_on_the_lists_of_its_parts(market: Dataset) -> None:
    models = [ItemKNN().fit(market), Popularity().fit(market), BPR(factors=3, iterations=10).fit(market)]
    everyone = ask(market, np.arange(-1, 30))
    fusion = Fusion.of(models, [3, 1, 2], smoothing=5, depth=7)
    assert np.array_equal(recommend(fusion, everyone, 5).items, expected(fusion, models, everyone))


def test_fusion_of_fitted_models_is_the_fusion_fitted_whole(market: Dataset) -> None:
    everyone = ask(market, np.arange(30))
    fusion = Fusion.of([ItemKNN(neighbours=5).fit(market), Popularity().fit(market)], [1, 0.5])
    fitted = Fusion(**fusion.params()).fit(market)
    assert np.array_equal(fusion.score(everyone), fitted.score(everyone), equal_nan=True)


def test_refitting_a_fusion_leaves_the_models_it_was_made_of_alone(market: Dataset) -> None:
    part = Popularity().fit(market)
    before = part.state()["popularity"].copy()
    fusion = Fusion.of([part])
    fusion.fit(market.keep(market.interactions.where(market.interactions.item > 3)))
    assert np.array_equal(part.state()["popularity"], before)
    assert not np.array_equal(fusion.state()["0.popularity"], before)


@pytest.mark.parametrize("rule", ["reciprocal_rank", "scores", "votes"])
def test_every_rule_is_kept_by_the_model(market: Dataset, rule: Any) -> None:
    models = [ItemKNN(neighbours=5).fit(market), Popularity().fit(market)]
    fusion, queries = Fusion.of(models, [2, 1], rule=rule, depth=9), ask(market, [0, 1, 2])
    lists = [recommend(model, queries, 9) for model in models]
    wanted = fuse(lists, [2, 1], rule=rule, k=5).items
    assert recommend(fusion, queries, 5).items.tolist() == wanted.tolist()
    assert recommend(Fusion(**fusion.params()).restore(fusion.state()), queries, 5).items.tolist() == wanted.tolist()


def test_seen_items_waste_no_ranks(market: Dataset) -> None:
    everyone = ask(market, np.arange(30))
    scores = Fusion.of([Popularity().fit(market)], depth=1, smoothing=0).score(everyone)
    best_unseen = recommend(Popularity().fit(market), everyone, 1).items[:, 0]
    assert np.array_equal(np.nanargmax(scores, axis=1), best_unseen)
    assert (np.isfinite(scores).sum(axis=1) == 1).all()


def test_silent_part_leaves_the_others_their_order(market: Dataset) -> None:
    stranger = ask(market, [-1])
    popularity, personal = Popularity().fit(market), ItemKNN().fit(market)
    fused = recommend(Fusion.of([personal, popularity], [5, 1]), stranger, 5)
    assert np.array_equal(fused.items, recommend(popularity, stranger, 5).items)


def test_fusions_nest_and_come_back(market: Dataset) -> None:
    inner = Fusion.of([ItemKNN().fit(market), Popularity().fit(market)])
    outer = Fusion.of([inner, Popularity(window_days=30).fit(market)], [2, 1])
    back = Fusion(**outer.params()).restore(outer.state())
    everyone = ask(market, np.arange(30))
    assert np.array_equal(outer.score(everyone), back.score(everyone), equal_nan=True)

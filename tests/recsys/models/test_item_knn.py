"""Item-kNN against dense arithmetic and against implicit's weights."""

from typing import Any

import numpy as np
import pytest
from implicit.nearest_neighbours import bm25_weight, tfidf_weight
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.data.queries import Queries
from recsys.models import sparse
from recsys.models.item_knn import ItemKNN
from tests.worlds import dataset, random_market


@pytest.fixture
def market(rng: np.random.Generator) -> Dataset:
    return random_market(rng, 40, 25, 300, weighted=True)


def matrix(data: Dataset) -> NDArray[np.float64]:
    return data.interactions.csr().toarray().astype(np.float64)


def scores(model: ItemKNN, data: Dataset) -> NDArray[np.float32]:
    return model.fit(data).score(Queries.of(data.interactions, np.arange(len(data.users))))


def by_hand(similarity: NDArray[np.float64], neighbours: int, histories: NDArray[np.float64]) -> NDArray[np.float64]:
    """Dense: each column keeps its largest entries off the diagonal."""
    cut = np.zeros_like(similarity)
    for item in range(len(similarity)):
        column = similarity[:, item].copy()
        column[item] = -1
        nearest = [j for j in np.lexsort((np.arange(len(column)), -column))[:neighbours] if column[j] > 0]
        cut[nearest, item] = column[nearest]
    expected = histories @ cut
    return np.where(expected == 0, np.nan, expected)


def cosine(x: NDArray[np.float64], shrink: float = 0) -> NDArray[np.float64]:
    lengths = np.linalg.norm(x, axis=0)
    return np.asarray((x.T @ x) / (np.outer(lengths, lengths) + shrink).clip(1e-30))


@pytest.mark.parametrize("shrink", [0.0, 3.0])
@pytest.mark.parametrize("weighting", ["binary", "weight"])
def test_cosine_is_the_dense_cosine(market: Dataset, shrink: float, weighting: Any) -> None:
    x = matrix(market)
    x = (x > 0).astype(float) if weighting == "binary" else x
    model = ItemKNN(neighbours=30, weighting=weighting, shrink=shrink)
    np.testing.assert_allclose(scores(model, market), by_hand(cosine(x, shrink), 30, x), rtol=1e-5)


def test_each_item_of_a_history_keeps_its_nearest_when_that_is_the_side(market: Dataset) -> None:
    x = matrix(market)
    model = ItemKNN(neighbours=3, weighting="weight", side="history").fit(market)
    state = model.state()
    cut = by_hand(cosine(x), 3, np.eye(25)).T  # rows keep what columns kept
    for item in range(25):
        kept = state["indices"][state["indptr"][item] : state["indptr"][item + 1]]
        assert kept.tolist() == np.flatnonzero(~np.isnan(cut[item])).tolist()


def test_each_scored_item_keeps_its_nearest(market: Dataset) -> None:
    x = matrix(market)
    similarity = np.round(cosine(x), 6)
    assert len(np.unique(similarity[similarity > 0])) > 100  # hardly a tie: the cut is the same in both precisions
    model = ItemKNN(neighbours=3, weighting="weight")
    np.testing.assert_allclose(scores(model, market), by_hand(cosine(x), 3, x), rtol=1e-5)


def test_tfidf_and_bm25_use_the_weights_that_implicit_does(market: Dataset) -> None:
    counts = market.interactions.csr()
    likes = matrix(market)
    tfidf = tfidf_weight(counts.T).T.toarray()
    bm25 = bm25_weight(counts, K1=1.5, B=0.4).toarray()  # here the user is the document
    for model, similarity in (
        (ItemKNN(neighbours=30, similarity="tfidf", weighting="weight"), cosine(tfidf)),
        (ItemKNN(neighbours=30, similarity="bm25", weighting="weight", k1=1.5, b=0.4), bm25.T @ bm25),
    ):
        np.testing.assert_allclose(scores(model, market), by_hand(similarity, 30, likes), rtol=1e-4)


def test_ties_between_neighbours_go_to_the_lower_number() -> None:
    # items 1 and 2 are equally near to item 0
    data = dataset([(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)], n_users=2, n_items=3)
    histories = dataset([(0, 1), (1, 2)], n_users=2, n_items=3)
    answer = ItemKNN(neighbours=1).fit(data).score(Queries.of(histories.interactions, np.array([0, 1])))
    assert answer[0, 0] == pytest.approx(1)
    assert np.isnan(answer[1, 0])


def test_items_unlike_the_history_are_nan_and_so_is_an_empty_history() -> None:
    data = dataset([(0, 0), (0, 1), (1, 2), (1, 3)], n_users=3, n_items=4)
    answer = scores(ItemKNN(), data)
    assert np.isnan(answer[0]).tolist() == [False, False, True, True]
    assert np.isnan(answer[2]).all()


def test_normalised_by_history_or_by_scored_item() -> None:
    # cosines: (0, 1) = 1/sqrt(2), (1, 2) = 1/sqrt(2), (0, 2) = 0
    data = dataset([(0, 0), (0, 1), (1, 1), (1, 2)], n_users=2, n_items=3)
    history = Queries.of(dataset([(0, 1)], n_users=1, n_items=3).interactions, np.array([0]))
    near = np.sqrt(0.5)
    plain, spread, scored = (
        ItemKNN(normalise=side).fit(data).score(history)[0] for side in ("none", "history", "scored")
    )
    np.testing.assert_allclose(plain[[0, 2]], near, rtol=1e-6)
    np.testing.assert_allclose(spread[[0, 2]], near / (1 + 2 * near), rtol=1e-6)  # itself and two neighbours
    np.testing.assert_allclose(scored[[0, 2]], 1, rtol=1e-6)  # item 1 is their only neighbour


@pytest.mark.parametrize("similarity", ["cosine", "bm25"])
def test_small_blocks_give_the_same_similarities(
    market: Dataset, similarity: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = ItemKNN(neighbours=5, similarity=similarity).fit(market).state()
    monkeypatch.setattr(sparse, "_BLOCK_CELLS", 40)
    parts = ItemKNN(neighbours=5, similarity=similarity).fit(market).state()
    assert all(np.array_equal(whole[name], parts[name]) for name in whole)


def test_negative_weights_are_no_likes() -> None:
    data = dataset([(0, 0), (0, 1), (1, 0), (1, 2)], n_users=2, n_items=3, weights=[1, 1, 1, -1])
    assert np.isnan(scores(ItemKNN(weighting="weight"), data)[0]).tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"neighbours": 0}, "neighbours must be an integer >= 1, got 0"),
        ({"neighbours": 2.5}, "neighbours must be an integer >= 1, got 2.5"),
        ({"similarity": "jaccard"}, "similarity must be one of 'cosine', 'tfidf', 'bm25', got 'jaccard'"),
        ({"weighting": "log"}, "weighting must be one of 'binary', 'weight'"),
        ({"normalise": True}, "normalise must be one of 'none', 'history', 'scored', got True"),
        ({"shrink": -1}, "shrink must be a finite number >= 0, got -1"),
        ({"b": 1.5}, "b must be a finite number >= 0 and <= 1, got 1.5"),
    ],
)
def test_parameters_are_checked(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ItemKNN(**params)

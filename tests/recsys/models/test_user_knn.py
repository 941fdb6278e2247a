"""User-kNN against dense arithmetic."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.data.queries import Queries
from recsys.models import sparse
from recsys.models.user_knn import UserKNN
from tests.worlds import dataset


def by_hand(
    x: NDArray[np.float64], vectors: NDArray[np.float64], neighbours: int, shrink: float, power: float
) -> NDArray[np.float64]:
    """Dense: each user's nearest others vote with similarity ** power."""
    lengths = np.linalg.norm(vectors, axis=1)
    near = (vectors @ vectors.T) / (np.outer(lengths, lengths) + shrink).clip(1e-30)
    np.fill_diagonal(near, 0)
    expected = np.empty_like(x)
    for user in range(len(x)):
        chosen = np.lexsort((np.arange(len(x)), -near[user]))[:neighbours]
        expected[user] = (near[user, chosen] ** power) @ x[chosen]
    return np.where(expected > 0, expected, np.nan)


@pytest.mark.parametrize("similarity", ["cosine", "tfidf"])
@pytest.mark.parametrize(("neighbours", "shrink", "power"), [(40, 0.0, 1.0), (7, 2.5, 2.0)])
def test_scores_are_the_dense_vote(
    market: Dataset, similarity: Any, neighbours: int, shrink: float, power: float
) -> None:
    x = market.interactions.csr().toarray().astype(np.float64)
    idf = np.log(40 / (1 + (x > 0).sum(axis=0))).clip(min=0) if similarity == "tfidf" else 1
    model = UserKNN(neighbours, similarity, "weight", shrink, power).fit(market)
    scores = model.score(Queries.of(market.interactions, np.arange(40)))
    np.testing.assert_allclose(scores, by_hand(x, x * idf, neighbours, shrink, power), rtol=1e-4)


def test_a_known_user_is_not_his_own_neighbour_and_an_unknown_one_may_equal_somebody() -> None:
    data = dataset([(0, 0), (0, 1), (1, 0), (1, 2)], n_users=2, n_items=3)
    stranger = Queries.of(dataset([(0, 0), (0, 1)], n_users=1, n_items=3).interactions, np.array([0]))
    unknown = Queries(
        users=np.array([-1], np.int32),
        indptr=stranger.indptr,
        items=stranger.items,
        weights=stranger.weights,
        times=stranger.times,
    )
    model = UserKNN(neighbours=1).fit(data)
    assert np.isnan(model.score(stranger)[0]).tolist() == [False, True, False]  # user 1 is the nearest other
    assert np.isnan(model.score(unknown)[0]).tolist() == [False, False, True]  # user 0 is just like him


def test_ties_between_neighbours_go_to_the_lower_number() -> None:
    data = dataset([(0, 0), (0, 1), (1, 0), (1, 2), (2, 0)], n_users=3, n_items=3)
    scores = UserKNN(neighbours=1).fit(data).score(Queries.of(data.interactions, np.array([2])))
    assert np.isnan(scores[0]).tolist() == [False, False, True]


def test_small_blocks_give_the_same_scores(market: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    model, everyone = UserKNN(neighbours=5).fit(market), Queries.of(market.interactions, np.arange(40))
    whole = model.score(everyone)
    monkeypatch.setattr(sparse, "_BLOCK_CELLS", 40)
    assert np.array_equal(model.score(everyone), whole, equal_nan=True)


def test_parameters_are_checked() -> None:
    with pytest.raises(ValueError, match="neighbours must be an integer >= 1, got 0"):
        UserKNN(neighbours=0)
    with pytest.raises(ValueError, match="similarity must be one of 'cosine', 'tfidf', got 'bm25'"):
        UserKNN(similarity="bm25")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="power must be a finite number >= 0, got -1"):
        UserKNN(power=-1)

"""Rating-kNN against the classic formulas, written out in loops."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.data.queries import Queries
from recsys.models import rating_knn
from recsys.models.base import create
from recsys.models.rating_knn import ItemRatingKNN, UserRatingKNN
from tests.worlds import dataset

N_USERS, N_ITEMS = 20, 12


@pytest.fixture
def ratings(rng: np.random.Generator) -> Dataset:
    """Each user rated some of the items, once each, with real numbers from 1 to 5: no two similarities tie, as those
    of a single rating in common would."""
    pairs = np.argwhere(rng.random((N_USERS, N_ITEMS)) < 0.8)
    weights = rng.uniform(1, 5, len(pairs))
    return dataset(pairs, n_users=N_USERS, n_items=N_ITEMS, weights=weights)


def table(data: Dataset) -> NDArray[np.float64]:
    """(n_users, n_items), NaN where there is no rating."""
    dense = data.interactions.csr().toarray().astype(np.float64)
    return np.where(dense > 0, dense, np.nan)


def likeness(a: NDArray[np.float64], b: NDArray[np.float64], shrink: float) -> float:
    both = ~np.isnan(a) & ~np.isnan(b)
    if not both.any():
        return 0
    length = np.sqrt((a[both] ** 2).sum() * (b[both] ** 2).sum())
    return float((a[both] @ b[both]) / length * both.sum() / (both.sum() + shrink)) if length else 0


def predicted(
    r: NDArray[np.float64], compared: NDArray[np.float64], k: int, shrink: float, smoothing: float
) -> NDArray[np.float64]:
    """Each row's rating of each column from the k nearest other rows, by `compared`; r is (rows, columns)."""
    means = np.nanmean(r, axis=1)
    answer = np.full(r.shape, np.nan)
    for one in range(len(r)):
        near = np.array([likeness(compared[one], other, shrink) for other in compared])
        near[one] = 0
        chosen = [v for v in np.lexsort((np.arange(len(r)), -near))[:k] if near[v] > 0]
        for column in range(r.shape[1]):
            votes = [v for v in chosen if not np.isnan(r[v, column])]
            if votes:
                vote = sum(near[v] * (r[v, column] - means[v]) for v in votes)
                answer[one, column] = means[one] + vote / (sum(near[v] for v in votes) + smoothing)
    return answer


def compared(r: NDArray[np.float64], similarity: str) -> NDArray[np.float64]:
    """What rows are compared by."""
    axis = {"pearson": 1, "adjusted_cosine": 0}.get(similarity)
    return r if axis is None else r - np.nanmean(r, axis=axis, keepdims=True)


@pytest.mark.parametrize("similarity", ["pearson", "adjusted_cosine", "cosine"])
@pytest.mark.parametrize(("k", "shrink", "smoothing"), [(20, 0.0, 0.0), (3, 2.0, 1.5)])
def test_predictions_are_the_classic_formula(
    ratings: Dataset, similarity: Any, k: int, shrink: float, smoothing: float
) -> None:
    r = table(ratings)
    everyone = Queries.of(ratings.interactions, np.arange(N_USERS))
    by_user = UserRatingKNN(k, similarity, shrink, smoothing).fit(ratings).score(everyone)
    np.testing.assert_allclose(by_user, predicted(r, compared(r, similarity), k, shrink, smoothing), atol=1e-4)
    by_item = ItemRatingKNN(k, similarity, shrink, smoothing).fit(ratings).score(everyone)
    expected = predicted(r.T, compared(r.T, similarity), k, shrink, smoothing).T
    np.testing.assert_allclose(by_item, expected, atol=1e-4)


@pytest.mark.parametrize("name", ["item_rating_knn", "user_rating_knn"])
def test_small_blocks_give_the_same_scores(ratings: Dataset, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    everyone = Queries.of(ratings.interactions, np.arange(N_USERS))
    whole = create(name).fit(ratings).score(everyone)
    monkeypatch.setattr(rating_knn, "_BLOCK_CELLS", 50)
    np.testing.assert_allclose(create(name).fit(ratings).score(everyone), whole, rtol=1e-5)


@pytest.mark.parametrize("name", ["item_rating_knn", "user_rating_knn"])
def test_a_new_rating_replaces_the_old_one(ratings: Dataset, name: str) -> None:
    first = np.flatnonzero(ratings.interactions.weight > 0)[:1]
    rows = ratings.interactions
    again = rows.where(np.isin(np.arange(len(rows)), first))
    again.weight[:] = 6 - again.weight
    later = Dataset(
        name="later",
        interactions=rows + type(rows).of(**{**vars_of(again), "time": rows.time[-1:] + 1}),
        users=ratings.users,
        items=ratings.items,
    )
    changed = rows.weight.copy()
    changed[first] = 6 - changed[first]
    instead = ratings.keep(type(rows).of(**{**vars_of(rows), "weight": changed}))
    everyone = np.arange(N_USERS)
    left = create(name).fit(later).score(Queries.of(later.interactions, everyone))
    right = create(name).fit(instead).score(Queries.of(instead.interactions, everyone))
    np.testing.assert_allclose(left, right, rtol=1e-5)


def vars_of(rows: Any) -> dict[str, Any]:
    names = ("user", "item", "time", "weight", "kind", "kinds", "n_users", "n_items")
    return {name: getattr(rows, name) for name in names}


def test_parameters_are_checked() -> None:
    with pytest.raises(
        ValueError, match="similarity must be one of 'pearson', 'adjusted_cosine', 'cosine', got 'bm25'"
    ):
        ItemRatingKNN(similarity="bm25")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="smoothing must be a finite number >= 0, got -1"):
        UserRatingKNN(smoothing=-1)

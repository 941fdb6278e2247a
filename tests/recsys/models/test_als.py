"""ALS: the fold-in solves what the paper says."""

from typing import Any

import numpy as np
import pytest

from recsys.data.dataset import Dataset
from recsys.data.queries import Queries
from recsys.models.als import ALS
from tests.worlds import dataset, random_market


@pytest.fixture
def market(rng: np.random.Generator) -> Dataset:
    return random_market(rng, 40, 25, 300, weighted=True)


@pytest.mark.parametrize("weighting", ["binary", "weight"])
def test_fold_in_is_the_closed_form_of_the_paper(market: Dataset, weighting: Any) -> None:
    model = ALS(factors=5, alpha=3.0, regularization=0.5, weighting=weighting).fit(market)
    y = model.state()["item_factors"].astype(np.float64)
    likes = market.interactions.csr().toarray()
    likes = likes > 0 if weighting == "binary" else likes
    expected = []
    for user in likes:
        confidence = np.where(user > 0, 3.0 * user, 1.0)
        left = y.T @ (confidence[:, None] * y) + 0.5 * np.eye(5)
        expected.append(y @ np.linalg.solve(left, y.T @ (confidence * (user > 0))))
    scores = model.score(Queries.of(market.interactions, np.arange(40)))
    known = model.state()["known_items"]
    served = likes.any(axis=1)
    np.testing.assert_allclose(scores[served][:, known], np.array(expected)[served][:, known], atol=1e-4)


def test_history_decides_not_the_user_number(market: Dataset) -> None:
    model = ALS(factors=5).fit(market)
    known = Queries.of(market.interactions, np.array([3]))
    anonymous = Queries(
        users=np.array([-1], np.int32),
        indptr=known.indptr,
        items=known.items,
        weights=known.weights,
        times=known.times,
    )
    assert np.array_equal(model.score(known), model.score(anonymous), equal_nan=True)


def test_threads_change_nothing(market: Dataset) -> None:
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, "openmp"):
        alone = ALS(factors=8).fit(market).state()["item_factors"]
    with threadpool_limits(2, "openmp"):
        together = ALS(factors=8).fit(market).state()["item_factors"]
    assert np.array_equal(alone, together)


def test_restored_factors_replace_the_cached_solver(market: Dataset) -> None:
    queries = Queries.of(market.interactions, np.arange(40))
    first, second = ALS(factors=4, seed=1).fit(market), ALS(factors=4, seed=2).fit(market)
    before = first.score(queries)
    assert np.array_equal(first.restore(second.state()).score(queries), second.score(queries), equal_nan=True)
    assert not np.array_equal(first.score(queries), before, equal_nan=True)


def test_state_of_other_items_is_refused(market: Dataset) -> None:
    state = ALS(factors=4).fit(market).state()
    with pytest.raises(ValueError, match=r"known_items of 'als' must be \(n_items\)"):
        ALS(factors=4).restore(state | {"known_items": np.ones(3, dtype=bool)})
    with pytest.raises(ValueError, match="item_factors of 'als' must have 5 factors, got 4"):
        ALS(factors=5).restore(state)


@pytest.mark.parametrize("alpha", [0.01, 1.0, 1000.0])
def test_extreme_confidence_gives_finite_scores(alpha: float) -> None:
    data = dataset([(u, i) for u in range(8) for i in range(8) if (u + i) % 3], n_users=8, n_items=9)
    scores = (
        ALS(factors=16, alpha=alpha, regularization=1e-3).fit(data).score(Queries.of(data.interactions, np.arange(8)))
    )
    assert np.isfinite(scores[:, :8]).all()
    assert np.isnan(scores[:, 8]).all()  # nobody liked item 8


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"factors": 0}, "factors must be an integer >= 1, got 0"),
        ({"regularization": 0}, "regularization must be a finite number > 0, got 0"),
        ({"alpha": float("nan")}, "alpha must be a finite number > 0, got nan"),
        ({"iterations": 1.5}, "iterations must be an integer >= 1, got 1.5"),
        ({"seed": -1}, "seed must be an integer >= 0, got -1"),
    ],
)
def test_parameters_are_checked(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ALS(**params)

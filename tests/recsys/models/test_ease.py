"""EASE against dense linear algebra in float64, and its inverse against LAPACK's."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import minimize

from recsys.data.dataset import Dataset
from recsys.data.queries import Queries
from recsys.models import ease
from recsys.models.ease import EASE, invert_in_place
from tests.worlds import dataset


def positive_definite(n: int, seed: int, ridge: float) -> NDArray[np.float32]:
    x = (np.random.default_rng(seed).random((2 * n, n)) < 0.2).astype(np.float32)
    return np.asarray(x.T @ x + ridge * np.eye(n), dtype=np.float32)


@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 40), panel=st.integers(1, 45), tile=st.integers(1, 45), seed=st.integers(0, 99))
def test_inverse_by_any_blocks_is_the_inverse(n: int, panel: int, tile: int, seed: int) -> None:
    matrix = positive_definite(n, seed, 1.0)
    expected = np.linalg.inv(matrix.astype(np.float64))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ease, "_PANEL", panel)
        patch.setattr(ease, "_TILE", tile)
        invert_in_place(matrix)
    np.testing.assert_allclose(matrix, expected, atol=2e-6)
    assert np.array_equal(matrix, matrix.T)


def test_inverse_of_several_real_panels() -> None:
    matrix = positive_definite(1300, 0, 10.0)
    expected = np.linalg.inv(matrix.astype(np.float64))
    invert_in_place(matrix)
    np.testing.assert_allclose(matrix, expected, atol=1e-6)


@pytest.mark.parametrize("weighting", ["binary", "weight"])
def test_scores_are_the_closed_form(market: Dataset, weighting: Any) -> None:
    x = market.interactions.csr().toarray().astype(np.float64)
    x = (x > 0).astype(float) if weighting == "binary" else x
    inverse = np.linalg.inv(x.T @ x + 7 * np.eye(25))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)
    expected = x @ weights
    expected[x.sum(axis=1) == 0] = np.nan
    expected[:, x.sum(axis=0) == 0] = np.nan
    model = EASE(regularization=7, weighting=weighting).fit(market)
    scores = model.score(Queries.of(market.interactions, np.arange(40)))
    np.testing.assert_allclose(scores, expected, atol=1e-5)


def test_weights_minimise_the_regularised_error_without_predicting_an_item_from_itself(market: Dataset) -> None:
    x = (market.interactions.csr().toarray() > 0).astype(float)
    target, others = x[:, 3], np.delete(x, 3, axis=1)

    def loss(w: NDArray[np.float64]) -> float:
        return float(((target - others @ w) ** 2).sum() + 5 * (w**2).sum())

    best = minimize(loss, np.zeros(24)).x
    weights = EASE(regularization=5).fit(market).state()["weights"][:, 3]
    np.testing.assert_allclose(np.delete(weights, 3), best, atol=1e-4)
    assert weights[3] == 0


def test_matrix_that_would_not_fit_is_refused_with_the_estimate_before_it_is_made() -> None:
    data = dataset([(0, 0)], n_users=1, n_items=200_000)
    with pytest.raises(MemoryError, match=r"200,000 items of 'tiny' needs 160.0 GB.*memory_limit_gb is 8; .*slim"):
        EASE().fit(data)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"regularization": 0}, "regularization must be a finite number > 0, got 0"),
        ({"decay": 0}, "decay must be a finite number > 0 and <= 1, got 0"),
        ({"decay": 1.1}, "decay must be a finite number > 0 and <= 1, got 1.1"),
        ({"memory_limit_gb": -1}, "memory_limit_gb must be a finite number > 0, got -1"),
    ],
)
def test_parameters_are_checked(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EASE(**params)

"""iALS: each half step is the exact solution, the loss falls, and the loss is the paper's."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys.data.dataset import Dataset
from recsys.data.queries import Queries
from recsys.models import ials
from recsys.models.ials import IALS


def dense(data: Dataset, weighting: str) -> NDArray[np.float64]:
    x = data.interactions.csr().toarray().astype(np.float64)
    return (x > 0).astype(float) if weighting == "binary" else x


def loss(model: IALS, x: NDArray[np.float64], w: NDArray[np.float64], h: NDArray[np.float64]) -> float:
    """The objective, written out."""
    predicted = w @ h.T
    total = (x * (1 - predicted) ** 2).sum() + model.unobserved * (predicted**2).sum()
    for factors, n_likes, n_others in ((w, (x > 0).sum(axis=1), len(h)), (h, (x > 0).sum(axis=0), len(w))):
        ridge = model.regularization * (n_likes + model.unobserved * n_others) ** model.frequency
        total += (ridge * (factors**2).sum(axis=1)).sum()
    return float(total)


def exact(model: IALS, x: NDArray[np.float64], h: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n_users, d) by dense normal equations, a user at a time."""
    solved = []
    for likes in x:
        ridge = model.regularization * ((likes > 0).sum() + model.unobserved * len(h)) ** model.frequency
        system = h.T @ np.diag(likes) @ h + model.unobserved * h.T @ h + ridge * np.eye(h.shape[1])
        solved.append(np.linalg.solve(system, h.T @ likes))
    return np.array(solved)


@pytest.mark.parametrize("factors", [3, 8, 40])  # fewer and more than a user has likes
@pytest.mark.parametrize("weighting", ["binary", "weight"])
@pytest.mark.parametrize("frequency", [0.0, 1.0])
def test_users_are_solved_exactly(market: Dataset, factors: int, weighting: Any, frequency: float) -> None:
    model = IALS(factors, 0.01, 0.1, frequency, 3, weighting).fit(market)
    x, h = dense(market, weighting), model.state()["item_factors"].astype(np.float64)
    expected = exact(model, x, h) @ h.T
    scores = model.score(Queries.of(market.interactions, np.arange(40)))
    known = x.sum(axis=0) > 0
    np.testing.assert_allclose(scores[:, known], expected[:, known], atol=1e-4)


@pytest.mark.parametrize("frequency", [0.0, 0.5, 1.0])
def test_every_epoch_lowers_the_loss(market: Dataset, frequency: float) -> None:
    model = IALS(factors=6, regularization=0.02, unobserved=0.1, frequency=frequency, iterations=8)
    x, seen = dense(market, "binary"), []

    def look(epoch: int, _: object) -> None:
        h = model.state()["item_factors"].astype(np.float64)
        seen.append(loss(model, x, exact(model, x, h), h))

    model.fit(market, watch=look)
    assert all(later <= earlier + 1e-4 for earlier, later in pairwise(seen))
    assert seen[-1] < 0.95 * seen[0]


def test_kept_item_factors_have_the_diagonal_gram_matrix_that_is_kept(market: Dataset) -> None:
    state = IALS(factors=5).fit(market).state()
    gram = state["item_factors"].T @ state["item_factors"]
    np.testing.assert_allclose(gram, np.diag(state["spectrum"]), atol=1e-4)


def test_small_batches_give_the_same_factors(market: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = IALS(factors=6).fit(market).state()["item_factors"]
    monkeypatch.setattr(ials, "_CELLS", 200)
    parts = IALS(factors=6).fit(market).state()["item_factors"]
    np.testing.assert_allclose(np.abs(parts), np.abs(whole), atol=1e-3)  # up to the signs of eigenvectors


def test_no_likes_at_all_give_zero_factors() -> None:
    others, spectrum = np.ones((3, 2), np.float32), np.ones(2, np.float32)
    assert IALS(factors=2)._solve(csr_matrix((2, 3), dtype=np.float32), others, spectrum).tolist() == [[0, 0], [0, 0]]


def test_another_number_of_factors_is_refused(market: Dataset) -> None:
    state = IALS(factors=3).fit(market).state()
    with pytest.raises(ValueError, match="item_factors of 'ials' must have 4 factors, got 3"):
        IALS(factors=4).restore(state)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"factors": 0}, "factors must be an integer >= 1, got 0"),
        ({"regularization": 0}, "regularization must be a finite number > 0, got 0"),
        ({"unobserved": 0}, "unobserved must be a finite number > 0, got 0"),
        ({"frequency": -1}, "frequency must be a finite number >= 0, got -1"),
    ],
)
def test_parameters_are_checked(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        IALS(**params)

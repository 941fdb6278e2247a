"""RP3beta against a dense random walk."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.data.queries import Queries
from recsys.models.rp3beta import RP3Beta
from tests.worlds import dataset


def walk(x: NDArray[np.float64], alpha: float, beta: float) -> NDArray[np.float64]:
    """(n_items, n_items) the dense weights, before any cut."""
    with np.errstate(divide="ignore", invalid="ignore"):
        to_item = np.nan_to_num(x / x.sum(axis=1, keepdims=True)) ** alpha
        to_user = np.nan_to_num(x.T / x.T.sum(axis=1, keepdims=True)) ** alpha
        weights = np.nan_to_num(to_user @ to_item / x.sum(axis=0) ** beta)
    np.fill_diagonal(weights, 0)
    return np.asarray(weights)


def kept(rows: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """Each row's k largest."""
    floor = np.sort(rows, axis=1)[:, -k][:, None]
    return np.where(rows >= floor, rows, 0)


@pytest.mark.parametrize("weighting", ["binary", "weight"])
@pytest.mark.parametrize(("side", "k"), [("history", 25), ("history", 4), ("scored", 4)])
def test_scores_are_those_of_the_dense_walk(market: Dataset, weighting: Any, side: Any, k: int) -> None:
    x = market.interactions.csr().toarray().astype(np.float64)
    x = (x > 0).astype(float) if weighting == "binary" else x
    weights = walk(x, 0.8, 0.4)
    weights = kept(weights, k) if side == "history" else kept(weights.T, k).T
    expected = x @ weights
    model = RP3Beta(neighbours=k, alpha=0.8, beta=0.4, weighting=weighting, side=side).fit(market)
    scores = model.score(Queries.of(market.interactions, np.arange(40)))
    np.testing.assert_allclose(scores, np.where(expected > 0, expected, np.nan), rtol=1e-4)


def test_by_hand() -> None:
    # user 0 likes items 0 and 1, user 1 items 1 and 2: from 0 the walk must pass user 0, and then 1 is one of two
    data = dataset([(0, 0), (0, 1), (1, 1), (1, 2)], n_users=2, n_items=3)
    history = Queries.of(dataset([(0, 0)], n_users=1, n_items=3).interactions, np.array([0]))
    assert RP3Beta(alpha=1, beta=0).fit(data).score(history)[0, 1] == pytest.approx(0.5)
    assert RP3Beta(alpha=1, beta=1).fit(data).score(history)[0, 1] == pytest.approx(0.25)  # two like item 1


def test_parameters_are_checked() -> None:
    with pytest.raises(ValueError, match="neighbours must be an integer >= 1, got 0"):
        RP3Beta(neighbours=0)
    with pytest.raises(ValueError, match="beta must be a finite number >= 0, got -1"):
        RP3Beta(beta=-1)
    with pytest.raises(ValueError, match="side must be one of 'scored', 'history', got 'both'"):
        RP3Beta(side="both")  # type: ignore[arg-type]

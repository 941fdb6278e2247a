"""SLIM against scikit-learn's elastic net."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import ElasticNet

from recsys.data.dataset import Dataset
from recsys.models import slim
from recsys.models.slim import SLIM


def weights(model: SLIM, data: Dataset) -> NDArray[np.float32]:
    """(n_items, n_items) dense, from history to scored."""
    state = model.fit(data).state()
    n = len(state["indptr"]) - 1
    dense = np.zeros((n, n), np.float32)
    dense[np.repeat(np.arange(n), np.diff(state["indptr"])), state["indices"]] = state["weights"]
    return dense


@pytest.mark.parametrize("positive", [True, False])
@pytest.mark.parametrize("weighting", ["binary", "weight"])
def test_every_column_is_the_elastic_net_of_the_others(
    market: Dataset, positive: bool, weighting: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slim, "_TOLERANCE", 1e-7)
    x = market.interactions.csr().toarray().astype(np.float64)
    x = (x > 0).astype(float) if weighting == "binary" else x
    l1, l2 = 0.5, 2.0
    model = SLIM(l1=l1, l2=l2, candidates=25, positive=positive, rounds=5000, weighting=weighting)
    learnt = weights(model, market)
    n = len(x)
    oracle = ElasticNet(
        alpha=(l1 + l2) / n,
        l1_ratio=l1 / (l1 + l2),
        positive=positive,
        fit_intercept=False,
        max_iter=20_000,
        tol=1e-10,
    )
    for item in range(25):
        together = (x.T @ x[:, item] > 0) & (np.arange(25) != item)  # only these have a cosine above 0
        expected = np.zeros(25)
        expected[together] = oracle.fit(x[:, together], x[:, item]).coef_
        np.testing.assert_allclose(learnt[:, item], expected, atol=1e-3)
    assert (learnt < 0).any() != positive


def test_only_candidates_have_weights(market: Dataset) -> None:
    learnt = weights(SLIM(l1=0, l2=1, candidates=3, positive=False), market)
    assert ((learnt != 0).sum(axis=0) <= 3).all()


def test_strong_l1_leaves_no_weight(market: Dataset) -> None:
    assert (weights(SLIM(l1=1000), market) == 0).all()


def test_threads_do_not_change_the_weights(market: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    one = weights(SLIM(), market)
    monkeypatch.setattr(slim, "_CHUNK", 2)
    assert np.array_equal(weights(SLIM(threads=3), market), one)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"l1": -1}, "l1 must be a finite number >= 0, got -1"),
        ({"l2": 0}, "l2 must be a finite number > 0, got 0"),
        ({"candidates": 0}, "candidates must be an integer >= 1, got 0"),
        ({"threads": 0}, "threads must be an integer >= 1, got 0"),
        ({"positive": 1}, "positive must be true or false, got 1"),
    ],
)
def test_parameters_are_checked(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SLIM(**params)

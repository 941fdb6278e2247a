"""Golden values, worked out by hand: they keep the definitions where they are."""

from collections.abc import Callable
from math import log2

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, ndcg_score

from recsys.data.interactions import Interactions
from recsys.data.recommendations import Recommendations
from recsys.metrics.accuracy import average_precision, hit_rate, mrr, ndcg, precision, recall
from recsys.metrics.judged import Judged, judge

Touched = Callable[..., Interactions]
Listed = Callable[..., Recommendations]


@pytest.fixture
def judged(touched: Touched, listed: Listed) -> Judged:
    """User 0 likes 1, 3, 5 and is shown 0 3 1 4; user 1 likes 2 and is shown 2 alone; user 2 has no truth."""
    seen = touched([(0, 2), (2, 0)])
    truth = touched([(0, 1), (0, 3), (0, 5), (1, 2), (2, 0)])
    return judge(listed([[0, 3, 1, 4], [2, -1, -1, -1], [1, 2, 3, 4]], seen), truth, seen=seen)


@pytest.mark.parametrize(
    ("metric", "k", "first", "second"),
    [
        (precision, 2, 1 / 2, 1 / 2),
        (precision, 4, 2 / 4, 1 / 4),
        (precision, 8, 2 / 8, 1 / 8),
        (recall, 2, 1 / 3, 1.0),
        (recall, 4, 2 / 3, 1.0),
        (hit_rate, 1, 0.0, 1.0),
        (hit_rate, 4, 1.0, 1.0),
        (mrr, 1, 0.0, 1.0),
        (mrr, 4, 1 / 2, 1.0),
        (average_precision, 2, (1 / 2) / 2, 1.0),
        (average_precision, 4, (1 / 2 + 2 / 3) / 3, 1.0),
        (ndcg, 2, (1 / log2(3)) / (1 + 1 / log2(3)), 1.0),
        (ndcg, 4, (1 / log2(3) + 1 / log2(4)) / (1 + 1 / log2(3) + 1 / log2(4)), 1.0),
    ],
)
def test_golden_values(
    judged: Judged, metric: Callable[[Judged, int], np.ndarray], k: int, first: float, second: float
) -> None:
    np.testing.assert_allclose(metric(judged, k), [first, second, np.nan], rtol=1e-12)


def full_rankings(touched: Touched, listed: Listed, rng: np.random.Generator) -> tuple[Judged, np.ndarray, np.ndarray]:
    """Every item ranked for each of 50 users, beside relevance and scores as scikit-learn wants them."""
    n, n_items = 50, 30
    relevant = rng.random((n, n_items)) < rng.uniform(0.02, 0.5, (n, 1))
    relevant[:, 0] |= ~relevant.any(axis=1)
    scores = rng.random((n, n_items))
    seen = touched([], n, n_items)
    lists = np.argsort(-scores, axis=1).tolist()
    judged = judge(listed(lists, seen), touched(np.argwhere(relevant).tolist(), n, n_items), seen=seen)
    return judged, relevant, scores


@pytest.mark.parametrize("k", [1, 5, 30])
def test_ndcg_agrees_with_scikit_learn(touched: Touched, listed: Listed, rng: np.random.Generator, k: int) -> None:
    judged, relevant, scores = full_rankings(touched, listed, rng)
    expected = [ndcg_score(r[None].astype(float), s[None], k=k) for r, s in zip(relevant, scores, strict=True)]
    np.testing.assert_allclose(ndcg(judged, k), expected, rtol=1e-12)


def test_average_precision_of_a_full_ranking_agrees_with_scikit_learn(
    touched: Touched, listed: Listed, rng: np.random.Generator
) -> None:
    judged, relevant, scores = full_rankings(touched, listed, rng)
    expected = [average_precision_score(r, s) for r, s in zip(relevant, scores, strict=True)]
    np.testing.assert_allclose(average_precision(judged, 30), expected, rtol=1e-12)

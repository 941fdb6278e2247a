from collections.abc import Callable
from itertools import combinations
from math import log2

import numpy as np
import pytest
from scipy.spatial.distance import cosine

from recsys.data.interactions import Interactions
from recsys.data.recommendations import Recommendations
from recsys.metrics.beyond_accuracy import diversity, novelty
from recsys.metrics.judged import judge

Touched = Callable[..., Interactions]
Listed = Callable[..., Recommendations]


def test_novelty_is_the_mean_of_bits(touched: Touched, listed: Listed) -> None:
    # three active users: item 1 has two of them, item 2 one, item 3 none
    seen = touched([(0, 1), (1, 1), (2, 2)])
    lists = listed([[1, 3], [2, -1], [-1, -1]], seen)
    expected = [(-log2(3 / 4) - log2(1 / 4)) / 2, -log2(2 / 4), np.nan]
    np.testing.assert_allclose(novelty(judge(lists, touched([]), seen=seen), 2), expected)


def test_diversity_of_three_directions(touched: Touched, listed: Listed) -> None:
    vectors = np.array([[2, 0], [0, 3], [1, 1], [-1, 0], [5, 0], [0, 0]], dtype=float)
    seen = touched([], n_users=6)
    lists = listed([[0, 1, -1], [0, 4, -1], [0, 3, -1], [0, 1, 2], [0, -1, -1], [0, 5, -1]], seen)
    slanted = 1 - np.sqrt(0.5)
    expected = [1, 0, 2, (1 + 2 * slanted) / 3, np.nan, np.nan]  # item 5 has no vector
    judged = judge(lists, touched([], n_users=6), seen=seen, item_vectors=vectors)
    np.testing.assert_allclose(diversity(judged, 3), expected, atol=1e-12)


def test_diversity_is_the_mean_over_all_pairs(touched: Touched, listed: Listed, rng: np.random.Generator) -> None:
    vectors = rng.normal(size=(30, 7))
    lists = [rng.permutation(30)[:8].tolist() for _ in range(20)]
    seen = touched([], 20, 30)
    judged = judge(listed(lists, seen), seen, seen=seen, item_vectors=vectors)
    pairwise = [np.mean([cosine(vectors[a], vectors[b]) for a, b in combinations(items, 2)]) for items in lists]
    np.testing.assert_allclose(diversity(judged, 8), pairwise)


def test_diversity_without_vectors_says_the_cure(touched: Touched, listed: Listed) -> None:
    seen = touched([])
    with pytest.raises(ValueError, match="pass item_vectors="):
        diversity(judge(listed([[1, 2]], seen), seen, seen=seen), 2)


def test_a_vector_with_nan_is_refused(touched: Touched, listed: Listed) -> None:
    seen = touched([])
    judged = judge(listed([[1, 2]], seen), seen, seen=seen, item_vectors=np.full((6, 2), np.nan))
    with pytest.raises(ValueError, match="item_vectors must be finite"):
        diversity(judged, 2)

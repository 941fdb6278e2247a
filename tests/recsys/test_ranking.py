"""The best k of a row, against a plain sort."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from recsys.ranking import top_k

# few distinct values: most rows have ties, also at the cut
SCORES = st.sampled_from([np.nan, -np.inf, -1.0, 0.0, 0.5, 1.0])


def by_sorting(scores: NDArray[np.float32], k: int) -> list[list[int]]:
    lists = []
    for row in scores:
        usable = [item for item in range(len(row)) if row[item] > -np.inf]
        best = sorted(usable, key=lambda item: (-row[item], item))[:k]
        lists.append(best + [-1] * (k - len(best)))
    return lists


@given(arrays(np.float32, array_shapes(min_dims=2, max_dims=2, max_side=12), elements=SCORES), st.integers(1, 15))
def test_top_k_is_the_head_of_a_sort(scores: NDArray[np.float32], k: int) -> None:
    items, best = top_k(scores, k)
    assert items.tolist() == by_sorting(scores, k)
    row, place = np.nonzero(items >= 0)
    assert np.array_equal(best[row, place], scores[row, items[row, place]])
    assert np.isnan(best[items < 0]).all()


@pytest.mark.parametrize("n_items", [257, 1000, 5003])
@pytest.mark.parametrize("levels", [3, 1_000_000])
def test_top_k_is_exact_where_columns_are_grouped(rng: np.random.Generator, n_items: int, levels: int) -> None:
    scores = rng.integers(0, levels, (5, n_items)).astype(np.float32)
    scores[rng.random(scores.shape) < 0.3] = np.nan
    scores[4, 3:] = np.nan
    for k in (1, 20, n_items, n_items + 2):
        assert top_k(scores, k)[0].tolist() == by_sorting(scores, k)


def test_scores_are_not_written_to() -> None:
    scores = np.broadcast_to(np.array([1, np.nan, 2], np.float32), (4, 3))  # numpy refuses writes to it
    assert top_k(scores, 2)[0].tolist() == [[2, 0]] * 4


def test_no_rows_or_no_items_give_empty_lists() -> None:
    assert top_k(np.empty((0, 5), np.float32), 3)[0].shape == (0, 3)
    assert top_k(np.empty((2, 0), np.float32), 3)[0].tolist() == [[-1, -1, -1]] * 2


def test_k_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="k must be >= 1, got 0"):
        top_k(np.zeros((1, 3), np.float32), 0)

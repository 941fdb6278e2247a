from collections.abc import Callable

import numpy as np
import pytest

from recsys.data.interactions import Interactions
from recsys.data.recommendations import Recommendations
from recsys.metrics.catalogue import coverage, gini
from recsys.metrics.judged import Judged, judge

Touched = Callable[..., Interactions]
Listed = Callable[..., Recommendations]


@pytest.fixture
def lists(touched: Touched, listed: Listed) -> Callable[[list[list[int]]], Judged]:
    seen = touched([])
    return lambda items: judge(listed(items, seen), seen, seen=seen)


def test_coverage_counts_distinct_items(lists: Callable[[list[list[int]]], Judged]) -> None:
    judged = lists([[0, 1], [0, 2], [0, -1]])
    assert coverage(judged, 1) == 1 / 6
    assert coverage(judged, 2) == 3 / 6


def test_gini_is_half_the_relative_mean_difference(lists: Callable[[list[list[int]]], Judged]) -> None:
    judged = lists([[0, 1], [0, 2], [0, 3]])
    shown = np.array([3, 1, 1, 1, 0, 0])
    expected = np.abs(shown[:, None] - shown).mean() / (2 * shown.mean())
    assert gini(judged, 2) == pytest.approx(expected)


def test_gini_of_equal_exposure_is_zero_and_of_one_item_nearly_one(lists: Callable[[list[list[int]]], Judged]) -> None:
    assert gini(lists([[0, 1], [2, 3], [4, 5]]), 2) == pytest.approx(0)
    assert gini(lists([[4], [4], [4]]), 1) == pytest.approx(5 / 6)


def test_nothing_listed_has_no_gini_and_covers_nothing(lists: Callable[[list[list[int]]], Judged]) -> None:
    judged = lists([[-1, -1]])
    assert np.isnan(gini(judged, 2))
    assert coverage(judged, 2) == 0

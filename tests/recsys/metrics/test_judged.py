from collections.abc import Callable

import numpy as np
import pytest

from recsys.data.interactions import Interactions
from recsys.data.recommendations import Recommendations
from recsys.metrics.judged import Truth, judge

Touched = Callable[..., Interactions]
Listed = Callable[..., Recommendations]


def test_truth_is_what_is_new_and_counts_an_item_once(touched: Touched) -> None:
    seen = touched([(0, 1), (0, 2), (2, 5)])
    truth = Truth.of(touched([(0, 2), (0, 3), (0, 3), (0, 0), (2, 5)]), seen)
    assert truth.keys.tolist() == [0, 3]
    assert truth.n_relevant.tolist() == [2, 0, 0]
    assert truth.users.tolist() == [0]
    assert truth.n_without == 1  # user 2 touched only what he had; user 1 was not there at all


def test_hits_follow_the_places_of_the_list(touched: Touched, listed: Listed) -> None:
    seen, truth = touched([(0, 1)]), touched([(0, 1), (0, 3), (1, 0), (1, 4)])
    judged = judge(listed([[3, 2, 1], [4, 0, -1], [3, 0, 4]], seen), truth, seen=seen)
    assert judged.hits.tolist() == [[True, False, False], [True, True, False], [False] * 3]
    assert judged.n_relevant.tolist() == [1, 2, 0]
    query, place = judged.hit_places(1)
    assert (query.tolist(), place.tolist()) == ([0, 1], [0, 0])


def test_padding_never_hits_the_last_item_of_the_user_before(touched: Touched, listed: Listed) -> None:
    # user 1, item -1 has the key of user 0, item 5
    seen, truth = touched([]), touched([(0, 5), (1, 0)])
    assert not judge(listed([[-1, -1]], seen, users=[1]), truth, seen=seen).hits.any()


def test_an_anonymous_query_has_no_truth(touched: Touched, listed: Listed) -> None:
    seen, truth = touched([]), touched([(0, 5), (2, 0)])
    judged = judge(listed([[5, 0], [5, 0]], seen, users=[-1, 0]), truth, seen=seen)
    assert judged.n_relevant.tolist() == [0, 1]
    assert judged.hits.tolist() == [[False, False], [True, False]]


def test_a_truth_made_once_judges_the_same(touched: Touched, listed: Listed) -> None:
    seen, truth = touched([(0, 1)]), touched([(0, 3), (1, 0)])
    lists = listed([[3, 2], [1, 0]], seen)
    once, again = judge(lists, Truth.of(truth, seen), seen=seen), judge(lists, truth, seen=seen)
    np.testing.assert_array_equal(once.hits, again.hits)
    np.testing.assert_array_equal(once.n_relevant, again.n_relevant)


def test_popularity_is_a_share_of_active_users_with_one_added(touched: Touched, listed: Listed) -> None:
    seen = touched([(0, 1), (0, 1), (1, 1), (1, 2)], n_users=5)
    judged = judge(listed([[1, 2]], seen), touched([], n_users=5), seen=seen)
    np.testing.assert_allclose(judged.popularity, np.array([1, 3, 2, 1, 1, 1]) / 3)


@pytest.mark.parametrize(
    ("lists", "users", "message"),
    [
        ([[1, 1]], [0], "a list may hold an item once; query 0"),
        ([[6, 1]], [0], r"items must be in -1\.\.5, got 1\.\.6"),
        ([[-2, 1]], [0], r"items must be in -1\.\.5"),
    ],
)
def test_impossible_lists_are_refused(
    touched: Touched, listed: Listed, lists: list[list[int]], users: list[int], message: str
) -> None:
    seen = touched([])
    with pytest.raises(ValueError, match=message):
        judge(listed(lists, seen, users), touched([(0, 1)]), seen=seen)


def test_other_vocabularies_are_refused(touched: Touched, listed: Listed) -> None:
    seen = touched([])
    with pytest.raises(ValueError, match="a split shares its vocabularies"):
        judge(listed([[1]], seen), touched([(0, 1)], n_items=7), seen=seen)
    with pytest.raises(ValueError, match="users must be below 3"):
        judge(listed([[1]], touched([], n_users=9), users=[8]), touched([(0, 1)]), seen=seen)
    with pytest.raises(ValueError, match=r"item_vectors must be \(6, d\)"):
        judge(listed([[1]], seen), touched([(0, 1)]), seen=seen, item_vectors=np.ones((5, 2)))

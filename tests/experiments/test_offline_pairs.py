"""The long tail of the users, counted by hand."""

import numpy as np

from experiments.offline_pairs import long_tail_users
from recsys.data.interactions import Interactions


def log(pairs: list[tuple[int, int]], n_users: int) -> Interactions:
    return Interactions.of(
        user=np.array([user for user, _ in pairs], dtype=np.int32),
        item=np.array([item for _, item in pairs], dtype=np.int32),
        time=np.datetime64("2025-01-01", "s") + np.arange(len(pairs)),
        n_users=n_users,
        n_items=5,
    )


def test_long_tail_is_the_quarter_with_most_outside_the_head() -> None:
    # item 0 is the head: the most popular fifth of five items; user 3 alone has mostly others, user 4 nothing at all
    pairs = [(0, 0), (1, 0), (2, 0), (2, 1), (3, 2), (3, 3), (3, 0)]
    assert long_tail_users(log(pairs, 5)).tolist() == [False, False, False, True, False]


def test_nobody_is_of_the_long_tail_where_everybody_touches_the_head() -> None:
    assert not long_tail_users(log([(0, 0), (1, 0)], 2)).any()


def test_empty_log_has_no_long_tail() -> None:
    assert not long_tail_users(log([], 3)).any()

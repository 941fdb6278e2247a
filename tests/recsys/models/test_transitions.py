"""Transitions by hand, by a plain loop, and on a planted chain."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.data.queries import Queries
from recsys.models.transitions import Transitions
from tests.worlds import dataset


def weights(model: Transitions, data: Dataset) -> NDArray[np.float32]:
    state = model.fit(data).state()
    n = len(state["indptr"]) - 1
    dense = np.zeros((n, n), np.float32)
    dense[np.repeat(np.arange(n), np.diff(state["indptr"])), state["indices"]] = state["weights"]
    return dense


def history(*items: int, n_items: int) -> Queries:
    rows = dataset([(0, item) for item in items], n_users=1, n_items=n_items).interactions
    return Queries.of(rows, np.array([0]))


def test_counts_by_hand() -> None:
    # 0 -> 1 -> 2 by user 0, 0 -> 2 by user 1
    data = dataset([(0, 0), (0, 1), (0, 2), (1, 0), (1, 2)], n_users=2, n_items=3)
    learnt = weights(Transitions(window=2, decay=0.5, alpha=0), data)
    np.testing.assert_allclose(learnt, [[0, 1, 1.5], [0, 0, 1], [0, 0, 0]])
    shares = weights(Transitions(window=2, decay=0.5, alpha=1), data)
    np.testing.assert_allclose(shares, [[0, 0.4, 0.6], [0, 0, 1], [0, 0, 0]])
    damped = weights(Transitions(window=2, decay=0.5, alpha=0, beta=1), data)
    np.testing.assert_allclose(damped, [[0, 1, 0.6], [0, 0, 0.4], [0, 0, 0]])


def test_query_is_the_last_items_by_age() -> None:
    data = dataset([(0, 0), (0, 3), (1, 1), (1, 4), (2, 2), (2, 5)], n_users=3, n_items=6)
    scores = Transitions(window=2, decay=0.25).fit(data).score(history(0, 1, 2, n_items=6))[0]
    np.testing.assert_allclose(scores, [np.nan, np.nan, np.nan, np.nan, 0.25, 1])


@pytest.mark.parametrize("weighting", ["binary", "weight"])
def test_weights_are_those_of_a_plain_loop(market: Dataset, weighting: Any) -> None:
    rows = market.interactions
    expected = np.zeros((25, 25))
    for user in range(40):
        mine = np.flatnonzero(rows.user == user)
        mine = [row for i, row in enumerate(mine) if i == 0 or rows.item[row] != rows.item[mine[i - 1]]]
        for i, after in enumerate(mine):
            for distance, before in enumerate(reversed(mine[max(0, i - 3) : i])):
                if rows.item[before] != rows.item[after]:
                    worth = 1 if weighting == "binary" else rows.weight[after]
                    expected[rows.item[before], rows.item[after]] += worth * 0.6**distance
    np.testing.assert_allclose(weights(Transitions(alpha=0, weighting=weighting), market), expected, rtol=1e-5)


def test_a_planted_chain_is_followed_where_order_is_all_there_is() -> None:
    # everybody walks the same ring from another start and touches every item: sets say nothing
    n = 12
    pairs = [(user, (user + step) % n) for user in range(n) for step in range(n)]
    data = dataset(pairs, n_users=n, n_items=n)
    model = Transitions().fit(data)
    for item in range(n):
        assert np.nanargmax(model.score(history(item, n_items=n))[0]) == (item + 1) % n


def test_users_do_not_follow_each_other() -> None:
    data = dataset([(0, 0), (1, 1)], n_users=2, n_items=2, days=[0, 1])
    assert (weights(Transitions(), data) == 0).all()


def test_disliked_rows_are_no_steps() -> None:
    data = dataset([(0, 0), (0, 1), (0, 2)], n_users=1, n_items=3, weights=[1, -1, 1])
    assert np.argwhere(weights(Transitions(window=1), data)).tolist() == [[0, 2]]


def test_parameters_are_checked() -> None:
    with pytest.raises(ValueError, match="window must be an integer >= 1, got 0"):
        Transitions(window=0)
    with pytest.raises(ValueError, match="decay must be a finite number > 0 and <= 1, got 0"):
        Transitions(decay=0)

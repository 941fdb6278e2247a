"""Sessions: where histories are cut."""

import numpy as np

from recsys.data.sessions import session_numbers
from tests.worlds import dataset

SECOND = 1 / 86_400
"""In days."""


def test_a_pause_longer_than_allowed_starts_a_session() -> None:
    rows = dataset([(0, 0), (0, 1), (0, 2)], n_users=1, n_items=3, days=[0, 10 * SECOND, 21 * SECOND]).interactions
    assert session_numbers(rows, 10).tolist() == [0, 0, 1]
    assert session_numbers(rows, 9).tolist() == [0, 1, 2]


def test_users_have_sessions_of_their_own_however_their_rows_interleave() -> None:
    rows = dataset([(1, 0), (0, 0), (1, 1), (0, 1)], n_users=3, n_items=2, days=[0, 0, 1, 1]).interactions
    numbers = session_numbers(rows, 10 * 86_400)
    assert rows.user.tolist() == [0, 1, 0, 1]
    assert numbers.tolist() == [0, 1, 0, 1]


def test_without_a_pause_a_session_is_what_happened_in_one_second() -> None:
    rows = dataset([(0, 0), (0, 1), (0, 2)], n_users=1, n_items=3, days=[0, 0, SECOND]).interactions
    assert session_numbers(rows, 0).tolist() == [0, 0, 1]


def test_no_rows_have_no_sessions() -> None:
    empty = dataset([(0, 0)], n_users=1, n_items=1).interactions.where(np.array([False]))
    assert session_numbers(empty, 1).tolist() == []

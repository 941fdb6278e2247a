"""Sessions: histories cut where a user paused. With a pause of 0 they are baskets: what was touched in one second."""

import numpy as np
from numpy.typing import NDArray

from recsys.data.interactions import Interactions


def session_numbers(rows: Interactions, pause: float) -> NDArray[np.int64]:
    """(n,) the session of each row, from 0, in the order of users and then of time.

    A user's row starts a session when more than `pause` seconds passed since his row before it.
    """
    order, _ = rows.by_user
    user, time = rows.user[order], rows.time[order].astype(np.int64)
    starts = np.ones(len(rows), dtype=bool)
    starts[1:] = (user[1:] != user[:-1]) | (time[1:] - time[:-1] > pause)
    numbers = np.empty(len(rows), np.int64)
    numbers[order] = np.cumsum(starts) - 1
    return numbers

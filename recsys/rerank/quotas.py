"""Quotas: the best list that holds at least so many, and at most so many, items of each group."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recsys.compiled import compiled


def fill(
    order: NDArray[np.integer],
    member: NDArray[np.bool_],
    least: Sequence[int],
    most: Sequence[int],
    k: int,
    page: int | None = None,
) -> NDArray[np.int32]:
    """(n, at most k) of the places in `order`, best first, under the quotas; -1 for none.

    order: (n, m) places, best first, -1 at the end; member: (n, m, n_groups) whether the item there is of the group.
    page: the quotas hold for each so many places from the first on (None: for all k).
    Each place goes to the first that no cap forbids and that leaves room for what is still owed; so those who are owed
    a place, and would not have earned it, come last. Caps are never broken; floors are met as far as candidates and
    caps allow, and where they together want more than k places, by whoever is owed most at once.
    """
    filled: NDArray[np.int32] = compiled(_fill)(
        order.astype(np.int64), member, np.asarray(least, np.int64), np.asarray(most, np.int64), k, page or k
    )
    return filled


def _fill(
    order: NDArray[np.int64],
    member: NDArray[np.bool_],
    least: NDArray[np.int64],
    most: NDArray[np.int64],
    k: int,
    page: int,
) -> NDArray[np.int32]:
    n, m = order.shape
    places = np.full((n, min(k, m)), -1, np.int32)
    for row in range(n):
        open_ = order[row] >= 0
        have = np.zeros(len(least), np.int64)
        width = min(k, open_.sum())
        for step in range(width):
            if step % page == 0:
                have[:] = 0
            room = min(page - step % page, width - step)
            best, second, most_paid, without = -1, -1, -1, -1
            for j in range(m):
                if not open_[j] or (member[row, j] & (have >= most)).any():
                    continue
                paid = (member[row, j] & (have < least)).sum()
                if paid > 0 or without < 0:
                    # how many places the rest is owed after this one, served by those who pay most at once
                    owed, then, free = 0, have + member[row, j], open_.copy()
                    free[j] = False
                    while (then < least).any():
                        payer, pays = -1, 0
                        for i in range(m):
                            if free[i] and not (member[row, i] & (then >= most)).any():
                                debts = (member[row, i] & (then < least)).sum()
                                if debts > pays:
                                    payer, pays = i, debts
                        if payer < 0:
                            break
                        owed += 1
                        then += member[row, payer]
                        free[payer] = False
                    if paid == 0:
                        without = owed  # the same for all who pay nothing
                else:
                    owed = without
                if owed < room:
                    best = j
                    break
                if paid > most_paid:
                    second, most_paid = j, paid
            best = second if best < 0 else best
            if best < 0:
                break
            places[row, step] = order[row, best]
            open_[best] = False
            have += member[row, best]
    return places

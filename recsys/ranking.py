"""Ranking: the best k of every row of scores, the one place where ties are broken."""

import numpy as np
from numpy.typing import NDArray

from recsys.compiled import compiled

_LOWEST = np.finfo(np.float32).min


def top_k(scores: NDArray[np.float32], k: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The k best columns of each row, best first, and their scores: (n, k) int32 and (n, k) float32.

    Exact; ties are broken by item number; NaN and -inf are never chosen. Places that cannot be filled hold -1 and NaN.

    No row is sorted: its columns are dealt to groups in turn, and only a group whose best is among the k best of all
    groups can hold one of the k best columns.

    >>> items, scores = top_k(np.array([[1, 3, 3, np.nan]], np.float32), 4)
    >>> items.tolist(), scores.tolist()
    ([[1, 2, 0, -1]], [[3.0, 3.0, 1.0, nan]])
    """
    if k < 1:
        raise ValueError(f"k must be >= 1, got {k}")
    n, n_items = scores.shape
    if n == 0 or n_items == 0:
        return np.full((n, k), -1, np.int32), np.full((n, k), np.nan, np.float32)
    rounds = max(1, n_items // max(4 * k, 256))
    n_groups = n_items // rounds
    best = compiled(_best_of_groups)(scores, rounds, n_groups)
    bound = np.full(n, _LOWEST)
    if k <= n_groups:
        bound = np.partition(best, n_groups - k, axis=1)[:, n_groups - k]
    items, values = compiled(_reaching)(scores, best, bound, rounds, k)
    return items, values


def _best_of_groups(scores: NDArray[np.float32], rounds: int, n_groups: int) -> NDArray[np.float32]:
    """(n, n_groups) the best of every n_groups-th column from the group's on; the columns left over join no group."""
    best = np.full((len(scores), n_groups), _LOWEST, np.float32)
    for row in range(len(scores)):
        of, own = scores[row], best[row]
        for dealt in range(rounds):
            for group in range(n_groups):
                value = of[dealt * n_groups + group]
                own[group] = value if value > own[group] else own[group]  # false for NaN
    return best


def _reaching(
    scores: NDArray[np.float32], best: NDArray[np.float32], bound: NDArray[np.float32], rounds: int, k: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The first k of the columns of each row that reach its bound, best first, and their scores."""
    n, n_items = scores.shape
    n_groups = best.shape[1]
    items, values = np.full((n, k), -1, np.int32), np.full((n, k), np.nan, np.float32)
    for row in range(n):
        of = scores[row]
        hopeful = np.flatnonzero(best[row] >= bound[row])
        most = len(hopeful) * rounds + n_items - n_groups * rounds
        column, low, found = np.empty(most, np.int32), np.empty(most, np.float32), 0
        for dealt in range(rounds):
            for group in hopeful:
                at = dealt * n_groups + group
                if of[at] >= bound[row]:
                    column[found], low[found] = at, -of[at]
                    found += 1
        for at in range(n_groups * rounds, n_items):
            if of[at] >= bound[row]:
                column[found], low[found] = at, -of[at]
                found += 1
        order = np.argsort(low[:found], kind="mergesort")  # stable, and the columns come by number
        for place in range(min(k, found)):
            items[row, place], values[row, place] = column[order[place]], -low[order[place]]
    return items, values

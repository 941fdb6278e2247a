"""How much of what a user went on to like stood in the list, and how high; NaN for users without truth.

Relevance is binary. A place below the end of a list counts as not relevant, so short lists are not rewarded.
"""

import numpy as np
from numpy.typing import NDArray

from recsys.metrics.judged import Judged


def precision(judged: Judged, k: int) -> NDArray[np.float64]:
    """Share of the k places that are relevant; divides by k even if fewer items were listed."""
    return _found(judged, k) / k


def recall(judged: Judged, k: int) -> NDArray[np.float64]:
    """Share of the user's relevant items that are listed; divides by all of them, also when they are more than k."""
    return _share(_found(judged, k), judged.n_relevant)


def hit_rate(judged: Judged, k: int) -> NDArray[np.float64]:
    """1 if any of the first k is relevant, else 0."""
    return np.minimum(_found(judged, k), 1.0)


def mrr(judged: Judged, k: int) -> NDArray[np.float64]:
    """Reciprocal rank of the first relevant item, 0 if there is none among the first k."""
    query, place = judged.hit_places(k)
    first = _first_of_query(query)
    return _sum(judged, query[first], 1 / (place[first] + 1))


def average_precision(judged: Judged, k: int) -> NDArray[np.float64]:
    """Precision at each relevant place, summed, divided by min(k, relevant), the most that can be listed."""
    query, place = judged.hit_places(k)
    number = np.arange(len(query))
    start = np.maximum.accumulate(np.where(_first_of_query(query), number, 0))
    found = number - start + 1  # how many relevant items stand at or above this place
    return _share(_sum(judged, query, found / (place + 1)), np.minimum(judged.n_relevant, k))


def ndcg(judged: Judged, k: int) -> NDArray[np.float64]:
    """Discounted gain 1 / log2(rank + 1) of the relevant places over that of the ideal list of min(k, relevant)."""
    query, place = judged.hit_places(k)
    gain = 1 / np.log2(np.arange(2, k + 2))
    ideal = np.append(0.0, np.cumsum(gain))[np.minimum(judged.n_relevant, k)]
    # at most 1: two orders of summing may differ in the last bit
    return np.minimum(_share(_sum(judged, query, gain[place]), ideal), 1.0)


def _found(judged: Judged, k: int) -> NDArray[np.float64]:
    """(n,) how many relevant items stand among the first k."""
    query, _ = judged.hit_places(k)
    return _sum(judged, query, np.ones(len(query)))


def _sum(judged: Judged, query: NDArray[np.int64], worth: NDArray[np.float64]) -> NDArray[np.float64]:
    total = np.bincount(query, weights=worth, minlength=len(judged)).astype(np.float64)
    total[judged.n_relevant == 0] = np.nan
    return total


def _share(part: NDArray[np.float64], whole: NDArray[np.integer | np.floating]) -> NDArray[np.float64]:
    # part is already NaN where whole is 0
    return np.asarray(part / np.maximum(whole, 1))


def _first_of_query(query: NDArray[np.int64]) -> NDArray[np.bool_]:
    return np.append(True, query[1:] != query[:-1])[: len(query)]

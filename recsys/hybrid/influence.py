"""What each item of a history does for a recommendation: the model is asked again without it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.data.queries import Queries
from recsys.models.base import Recommender

_BLOCK = 64
"""Shortened histories scored at a time."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Influence:
    """One list, and one history with its items left out in turn.

    history: (h,) the distinct liked items, of summed weight above 0, latest first; scores: (k,) those of the list with
    the whole history; without: (h, k) the same when all rows of that item are left out, NaN where the model then has
    nothing to say of the listed item; usual: the mean of what the model scores with the whole history.
    """

    history: NDArray[np.int32]
    scores: NDArray[np.float32]
    without: NDArray[np.float32]
    usual: float

    @property
    def drops(self) -> NDArray[np.float64]:
        """(h, k) how far the score falls without the item; inf where none is left, NaN where there never was one."""
        fall = self.scores.astype(np.float64) - self.without
        gone = np.isnan(self.without) & ~np.isnan(self.scores)
        return np.where(gone, np.inf, fall)


def leave_one_out(model: Recommender, query: Queries, items: NDArray[np.integer], *, latest: int = 50) -> Influence:
    """The influence of the `latest` liked items of the history of one query on the listed items, by the model itself.

    What is true of the model is what this says, whatever the model is: nothing is approximated. It costs one score of
    the catalogue for each item of the history.
    """
    if len(query) != 1:
        raise ValueError(f"one query at a time, got {len(query)}")
    found, first, number = np.unique(query.items[::-1], return_index=True, return_inverse=True)
    liked = np.bincount(number, query.weights[::-1], minlength=len(found)) > 0
    history = query.items[::-1][np.sort(first[liked])][:latest]
    whole = model.score(query)[0]
    there = whole[np.isfinite(whole)]
    without = np.full((len(history), len(items)), np.nan, np.float32)
    for start in range(0, len(history), _BLOCK):
        left_out = history[start : start + _BLOCK]
        without[start : start + _BLOCK] = model.score(shortened(query, left_out))[:, items]
    usual = float(there.mean(dtype=np.float64)) if len(there) else float("nan")
    return Influence(history=history, scores=whole[items], without=without, usual=usual)


def shortened(query: Queries, left_out: NDArray[np.integer]) -> Queries:
    """One query for each item, without the rows of that item; everything else is as in the query given."""
    kept = query.items[None, :] != left_out[:, None]
    rows = np.nonzero(kept)[1]
    n = len(left_out)
    return Queries(
        users=np.repeat(query.users, n),
        indptr=np.append(0, np.cumsum(kept.sum(axis=1))).astype(np.int64),
        items=query.items[rows],
        weights=query.weights[rows],
        times=query.times[rows],
        context={name: np.repeat(values, n, axis=0) for name, values in query.context.items()},
    )

"""What batches are made of: pairs of user and item, negatives, and sequences of likes."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.data.queries import Queries
from recsys.models.base import check_items, training_likes

_TRIES = 20
"""Draws of a negative before a like is accepted: who likes half of everything is dealt one in a million."""


class Pairs:
    """The likes of a data set as pairs (user, item) to learn from, and draws of what a user did not like."""

    def __init__(self, dataset: Dataset) -> None:
        matrix = training_likes(dataset, "binary")
        self.n_items = matrix.shape[1]
        self.users = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
        self.items = matrix.indices.astype(np.int64)
        self._known = np.unique(self.items)
        self._cells = np.sort(self.users * self.n_items + self.items)

    def __len__(self) -> int:
        return len(self.users)

    def shuffled(self, rng: np.random.Generator, size: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """(users, items) of all likes in random order, `size` at a time."""
        order = rng.permutation(len(self))
        for start in range(0, len(order), size):
            part = order[start : start + size]
            yield self.users[part], self.items[part]

    def negatives(self, users: NDArray[np.int64], n: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """(len(users), n) known items drawn uniformly among those that the user does not like.

        As good as: after some tries, a user who likes nearly everything may be dealt a like.
        """
        owner = users.repeat(n)
        drawn = self._draw(len(owner), rng)
        left = np.arange(len(owner))
        for _ in range(_TRIES):
            left = left[self._liked(owner[left], drawn[left])]
            if len(left) == 0:
                break
            drawn[left] = self._draw(len(left), rng)
        return drawn.reshape(len(users), n)

    def _draw(self, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
        return np.asarray(self._known[rng.integers(len(self._known), size=n)])

    def _liked(self, users: NDArray[np.int64], items: NDArray[np.int64]) -> NDArray[np.bool_]:
        cells = users * self.n_items + items
        place = np.searchsorted(self._cells, cells).clip(max=len(self._cells) - 1)
        return np.asarray(self._cells[place] == cells)


def sequences(queries: Queries, n_items: int, length: int) -> NDArray[np.int64]:
    """(n, length) the latest likes of each history, oldest first, padded in front with `n_items`.

    An item that is repeated at once is one step; only rows of weight > 0 count.
    """
    check_items(queries, n_items)
    row = np.repeat(np.arange(len(queries)), np.diff(queries.indptr))
    liked = queries.weights > 0
    row, item = row[liked], queries.items[liked].astype(np.int64)
    fresh = np.ones(len(row), dtype=bool)
    fresh[1:] = (row[1:] != row[:-1]) | (item[1:] != item[:-1])
    row, item = row[fresh], item[fresh]
    ends = np.cumsum(np.bincount(row, minlength=len(queries)))
    from_the_end = ends[row] - 1 - np.arange(len(row))
    kept = from_the_end < length
    steps = np.full((len(queries), length), n_items, np.int64)
    steps[row[kept], length - 1 - from_the_end[kept]] = item[kept]
    return steps

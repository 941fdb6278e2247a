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


class Pasts:
    """Every step of the histories of a data set, each with the steps before it.

    users, items: (n,) who took which step, oldest first within a user.
    """

    def __init__(self, dataset: Dataset, length: int) -> None:
        self.n_items, self.length = len(dataset.items), length
        queries = Queries.of(dataset.interactions, np.arange(len(dataset.users)))
        self.users, self.items = steps_of(queries, self.n_items)
        self._first = np.searchsorted(self.users, self.users)  # users are sorted: where the own steps begin

    def __len__(self) -> int:
        return len(self.users)

    def before(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """(n, length) the latest steps before each of these (n,), padded in front with `n_items`."""
        window = places[:, None] + np.arange(-self.length, 0)
        inside = window >= self._first[places][:, None]
        return np.where(inside, self.items[window.clip(min=0)], self.n_items)


class Windows:
    """The histories of a data set in windows of `length` steps, each with the step that came next.

    user, step, following: (n,) the pairs of a like and the next one, oldest first within a user.
    """

    def __init__(self, dataset: Dataset, length: int) -> None:
        self.n_items, self.length = len(dataset.items), length
        user, item = steps_of(Queries.of(dataset.interactions, np.arange(len(dataset.users))), self.n_items)
        followed = user[1:] == user[:-1]
        self.user, self.step, self.following = user[:-1][followed], item[:-1][followed], item[1:][followed]
        self.known = np.unique(item)

    def shuffled(self, rng: np.random.Generator, size: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """(steps, following), each (at most size, at most length) and padded in front, in random order.

        A history of more than `length` steps is cut at other places each time: no step is always without a past.
        """
        owned = np.bincount(self.user)
        shift = (rng.random(len(owned)) * (owned - self.length + 1).clip(1, self.length)).astype(np.int64)
        window = (_from_the_end(self.user) + shift[self.user]) // self.length
        group = np.cumsum(np.diff(self.user, prepend=-1).astype(bool) | np.diff(window, prepend=-1).astype(bool)) - 1
        n = len(np.unique(group))
        steps, following = (_aligned(group, part, n, self.length, self.n_items) for part in (self.step, self.following))
        order = rng.permutation(n)
        for start in range(0, n, size):
            part = order[start : start + size]
            yield trimmed(steps[part], self.n_items), trimmed(following[part], self.n_items)


def sequences(queries: Queries, n_items: int, length: int, known: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
    """(n, length) the latest likes of each history, oldest first, padded in front with `n_items`.

    An item that is repeated at once is one step; only rows of weight > 0 count, and of the items only those `known`.
    """
    row, item = steps_of(queries, n_items, known)
    return _aligned(row, item, len(queries), length, n_items)


def trimmed(steps: NDArray[np.int64], padding: int) -> NDArray[np.int64]:
    """The sequences without the columns in front that are padding in all of them; the last column stays."""
    used = (steps != padding).any(axis=0)
    used[-1:] = True
    return steps[:, int(used.argmax()) :]


def steps_of(
    queries: Queries, n_items: int, known: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(query, item) of every step of the histories, oldest first."""
    check_items(queries, n_items)
    row = np.repeat(np.arange(len(queries)), np.diff(queries.indptr))
    counts = queries.weights > 0
    if known is not None:
        counts &= known[queries.items]
    row, item = row[counts], queries.items[counts].astype(np.int64)
    fresh = np.ones(len(row), dtype=bool)
    fresh[1:] = (row[1:] != row[:-1]) | (item[1:] != item[:-1])
    return row[fresh], item[fresh]


def _aligned(row: NDArray[np.int64], item: NDArray[np.int64], n: int, length: int, padding: int) -> NDArray[np.int64]:
    """(n, length) the last items of each row, at its end; `row` is sorted."""
    back = _from_the_end(row)
    kept = back < length
    steps = np.full((n, length), padding, np.int64)
    steps[row[kept], length - 1 - back[kept]] = item[kept]
    return steps


def _from_the_end(row: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many entries of its row come after each one; `row` is sorted."""
    ends: NDArray[np.int64] = np.cumsum(np.bincount(row))
    return np.asarray(ends[row] - 1 - np.arange(len(row)))

"""Judged: recommendations joined with the truth, once for all metrics."""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from recsys.data.interactions import Interactions
from recsys.data.recommendations import Recommendations


@dataclass(frozen=True, kw_only=True, eq=False)
class Truth:
    """What is relevant to whom: the distinct items a user touched in the truth part and not before.

    keys: (m,) sorted int64, user * n_items + item; n_without: users who touched nothing but what they had before.
    """

    keys: NDArray[np.int64]
    n_users: int
    n_items: int
    n_without: int

    @classmethod
    def of(cls, truth: Interactions, seen: Interactions) -> Self:
        """The truth of a split; `seen` is all that the model was given, whose items are not recommended again."""
        shape, other = (truth.n_users, truth.n_items), (seen.n_users, seen.n_items)
        if shape != other:
            raise ValueError(f"truth is {shape} (users, items), seen is {other}; a split shares its vocabularies")
        touched = _distinct(_keys(truth.user, truth.item, truth.n_items))
        asked = np.bincount(truth.user, minlength=truth.n_users) > 0
        rows = asked[seen.user]
        before = np.sort(_keys(seen.user[rows], seen.item[rows], seen.n_items))
        keys = touched[~_found(touched, before)]
        n_with = len(_distinct(keys // max(truth.n_items, 1)))
        n_without = int(asked.sum()) - n_with
        return cls(keys=keys, n_users=truth.n_users, n_items=truth.n_items, n_without=n_without)

    def of_items(self, kept: NDArray[np.bool_]) -> Self:
        """What is relevant among the items for which `kept` (n_items,) is true."""
        keys = self.keys[kept[self.keys % max(self.n_items, 1)]]
        lost = len(self.users) - len(_distinct(keys // max(self.n_items, 1)))
        return type(self)(keys=keys, n_users=self.n_users, n_items=self.n_items, n_without=self.n_without + lost)

    @cached_property
    def n_relevant(self) -> NDArray[np.int64]:
        """(n_users,) how many items are relevant to each user."""
        return np.bincount(self.keys // max(self.n_items, 1), minlength=self.n_users).astype(np.int64)

    @cached_property
    def users(self) -> NDArray[np.int32]:
        """The users with anything relevant, in order of their numbers."""
        return np.flatnonzero(self.n_relevant).astype(np.int32)


@dataclass(frozen=True, kw_only=True, eq=False)
class Judged:
    """What every metric reads, for n lists of K places.

    items: (n, K) int32, -1 where padded; hits: (n, K), whether the item is relevant; n_relevant: (n,), 0 where the
    user has no truth; seen: what the model was given (for popularity); item_vectors: (n_items, d) or None.
    """

    items: NDArray[np.int32]
    hits: NDArray[np.bool_]
    n_relevant: NDArray[np.int64]
    seen: Interactions
    item_vectors: NDArray[np.floating] | None = None

    def __len__(self) -> int:
        return len(self.items)

    @property
    def n_items(self) -> int:
        """The size of the catalogue."""
        return self.seen.n_items

    @cached_property
    def popularity(self) -> NDArray[np.float64]:
        """(n_items,) share of the active users who touched the item; add-one, so that an unseen item has one too."""
        active = np.count_nonzero(np.bincount(self.seen.user, minlength=self.seen.n_users))
        return np.asarray((self.seen.item_users + 1) / (active + 1))

    def top(self, k: int) -> NDArray[np.int32]:
        """The first k places of the lists, or all if they have fewer."""
        if k < 1:
            raise ValueError(f"k must be >= 1, got {k}")
        return self.items[:, :k]

    def hit_places(self, k: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(query, place): the relevant items among the first k, by query and then by place (0 = best)."""
        if k < 1:
            raise ValueError(f"k must be >= 1, got {k}")
        query, place = self._hit_places
        within = place < k
        return query[within], place[within]

    @cached_property
    def _hit_places(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        # hits are few: metrics over these pairs cost a fraction of passes over (n, K)
        query, place = np.nonzero(self.hits)
        return query, place


def judge(
    recommendations: Recommendations,
    truth: Interactions | Truth,
    *,
    seen: Interactions,
    item_vectors: NDArray[np.floating] | None = None,
) -> Judged:
    """Join recommendations with the truth. Give a `Truth` to judge many against the same one."""
    truth = truth if isinstance(truth, Truth) else Truth.of(truth, seen)
    users, items = recommendations.queries.users, recommendations.items
    _check(users, items, truth, item_vectors)
    known, listed = users >= 0, items >= 0
    keys = _keys(users.clip(min=0)[:, None], items, truth.n_items)
    hits = _found(keys.ravel(), truth.keys).reshape(keys.shape) & listed & known[:, None]
    n_relevant = np.where(known, truth.n_relevant[users.clip(min=0)], 0) if truth.n_users else np.zeros(0, np.int64)
    return Judged(items=items, hits=hits, n_relevant=n_relevant, seen=seen, item_vectors=item_vectors)


def _check(
    users: NDArray[np.int32], items: NDArray[np.int32], truth: Truth, item_vectors: NDArray[np.floating] | None
) -> None:
    if len(users) and int(users.max()) >= truth.n_users:
        raise ValueError(f"users must be below {truth.n_users}, got {users.max()}; use the vocabulary of the split")
    if items.size and not -1 <= int(items.min()) <= int(items.max()) < truth.n_items:
        raise ValueError(f"items must be in -1..{truth.n_items - 1}, got {items.min()}..{items.max()}")
    ordered = np.sort(items, axis=1)
    twice = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)
    if twice.any():
        query = int(twice.any(axis=1).argmax())
        raise ValueError(f"a list may hold an item once; query {query} (user {users[query]}) repeats one")
    if item_vectors is not None and (item_vectors.ndim != 2 or len(item_vectors) != truth.n_items):
        raise ValueError(f"item_vectors must be ({truth.n_items}, d), got shape {item_vectors.shape}")


def _keys(user: NDArray[np.int32], item: NDArray[np.int32], n_items: int) -> NDArray[np.int64]:
    return user.astype(np.int64) * n_items + item


def _distinct(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    # np.unique hashes integers and is four times slower here
    keys = np.sort(keys)
    return keys[np.append(True, keys[1:] != keys[:-1])] if len(keys) else keys


def _found(keys: NDArray[np.int64], among: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each key is among the sorted others; quick because both sides run through the users in order."""
    if len(among) == 0:
        return np.zeros(len(keys), np.bool_)
    place = np.searchsorted(among, keys).clip(max=len(among) - 1)
    return np.asarray(among[place] == keys)

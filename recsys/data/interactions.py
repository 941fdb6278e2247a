"""Interactions: who touched what, how much, when."""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix


@dataclass(frozen=True, kw_only=True, eq=False)
class Interactions:
    """One row per event, sorted by time (ties by user, then item).

    user, item: (n,) int32 numbers in the data set's vocabularies; weight: (n,) float32, how much the event says
    (a rating, or the weight of its kind); time: (n,) datetime64[s], UTC; kind: (n,) int8 places in `kinds`;
    n_users, n_items: the sizes of the vocabularies, so that every matrix has its full shape.
    """

    user: NDArray[np.int32]
    item: NDArray[np.int32]
    weight: NDArray[np.float32]
    time: NDArray[np.datetime64]
    kind: NDArray[np.int8]
    kinds: tuple[str, ...]
    n_users: int
    n_items: int

    def __post_init__(self) -> None:
        n = len(self.user)
        for name in ("item", "weight", "time", "kind"):
            if len(getattr(self, name)) != n:
                raise ValueError(f"{name} has {len(getattr(self, name))} rows, user has {n}; they must be equal")
        for name, numbers, size in (("user", self.user, self.n_users), ("item", self.item, self.n_items)):
            if n and (int(numbers.min()) < 0 or int(numbers.max()) >= size):
                raise ValueError(f"{name} numbers must be in 0..{size - 1}, got {numbers.min()}..{numbers.max()}")
        if n and bool((self.time[1:] < self.time[:-1]).any()):
            raise ValueError("rows must be sorted by time; Interactions.of(...) sorts them")

    @classmethod
    def of(
        cls,
        *,
        user: NDArray[np.integer],
        item: NDArray[np.integer],
        time: NDArray[np.datetime64],
        n_users: int,
        n_items: int,
        weight: NDArray[np.floating] | None = None,
        kind: NDArray[np.integer] | None = None,
        kinds: tuple[str, ...] = ("interaction",),
    ) -> Self:
        """Interactions from columns in any order; a missing weight is 1, a missing kind is the first of `kinds`."""
        n = len(user)
        weight = np.ones(n, np.float32) if weight is None else weight
        kind = np.zeros(n, np.int8) if kind is None else kind
        order = np.lexsort((item, user, time))
        return cls(
            user=user[order].astype(np.int32),
            item=item[order].astype(np.int32),
            weight=weight[order].astype(np.float32),
            time=time[order].astype("datetime64[s]"),
            kind=kind[order].astype(np.int8),
            kinds=kinds,
            n_users=n_users,
            n_items=n_items,
        )

    def __len__(self) -> int:
        return len(self.user)

    def where(self, keep: NDArray[np.bool_]) -> Self:
        """The rows for which `keep` (n,) is true; the shape stays the full one."""
        return type(self)(
            user=self.user[keep],
            item=self.item[keep],
            weight=self.weight[keep],
            time=self.time[keep],
            kind=self.kind[keep],
            kinds=self.kinds,
            n_users=self.n_users,
            n_items=self.n_items,
        )

    def __add__(self, other: Self) -> Self:
        """Both sets of rows, in time order. Both sides must number the same users, items and kinds."""
        if (self.n_users, self.n_items, self.kinds) != (other.n_users, other.n_items, other.kinds):
            raise ValueError("only interactions over the same vocabularies and kinds can be added")
        return type(self).of(
            user=np.concatenate([self.user, other.user]),
            item=np.concatenate([self.item, other.item]),
            time=np.concatenate([self.time, other.time]),
            weight=np.concatenate([self.weight, other.weight]),
            kind=np.concatenate([self.kind, other.kind]),
            kinds=self.kinds,
            n_users=self.n_users,
            n_items=self.n_items,
        )

    def csr(self) -> csr_matrix:
        """The (n_users, n_items) float32 matrix of summed weights, always of full shape."""
        matrix = csr_matrix((self.weight, (self.user, self.item)), shape=(self.n_users, self.n_items))
        matrix.sum_duplicates()
        return matrix

    @cached_property
    def by_user(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(order (n,), indptr (n_users + 1,)): rows order[indptr[u]:indptr[u+1]] are user u's, oldest first."""
        order = np.argsort(self.user, kind="stable")
        indptr = np.zeros(self.n_users + 1, np.int64)
        np.cumsum(np.bincount(self.user, minlength=self.n_users), out=indptr[1:])
        return order, indptr

    @cached_property
    def item_users(self) -> NDArray[np.int64]:
        """(n_items,) how many distinct users touched each item: its popularity."""
        return np.bincount(self.csr().indices, minlength=self.n_items).astype(np.int64)

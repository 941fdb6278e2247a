"""Queries: who is to be served, with what history, in what context."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys.data.interactions import Interactions


@dataclass(frozen=True, kw_only=True, eq=False)
class Queries:
    """n requests for recommendations. Cold users, sessions and sequences are all this one case.

    users: (n,) int32, -1 for an anonymous or unknown one; indptr: (n + 1,) int64; items, weights, times:
    rows indptr[i]:indptr[i+1] are the history of query i, oldest first; context: name -> (n,) values
    (time, device, place ...).
    """

    users: NDArray[np.int32]
    indptr: NDArray[np.int64]
    items: NDArray[np.int32]
    weights: NDArray[np.float32]
    times: NDArray[np.datetime64]
    context: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    _made: dict[Hashable, csr_matrix] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        n = len(self.users)
        if len(self.indptr) != n + 1 or (n >= 0 and int(self.indptr[-1]) != len(self.items)):
            raise ValueError(f"indptr must have {n + 1} entries and end at {len(self.items)}, got {self.indptr!r}")

    @classmethod
    def of(cls, interactions: Interactions, users: NDArray[np.integer]) -> Self:
        """One query per user number, with the history found in `interactions`; a negative number has none."""
        numbers = np.asarray(users, dtype=np.int32)
        order, starts = interactions.by_user
        known = numbers >= 0
        first = np.where(known, starts[numbers.clip(min=0)], 0)
        length = np.where(known, starts[numbers.clip(min=0) + 1] - first, 0)
        indptr = np.zeros(len(numbers) + 1, np.int64)
        np.cumsum(length, out=indptr[1:])
        rows = order[np.repeat(first - indptr[:-1], length) + np.arange(indptr[-1])]
        return cls(
            users=numbers,
            indptr=indptr,
            items=interactions.item[rows],
            weights=interactions.weight[rows],
            times=interactions.time[rows],
        )

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """The queries of all parts, one or more, in their order; each part tells the same names of its context."""
        if len(parts) == 1:
            return parts[0]
        lengths = np.concatenate([np.diff(part.indptr) for part in parts])
        rows = {name: np.concatenate([getattr(part, name) for part in parts]) for name in ("items", "weights", "times")}
        return cls(
            users=np.concatenate([part.users for part in parts]),
            indptr=np.append(0, np.cumsum(lengths)).astype(np.int64),
            context={name: np.concatenate([part.context[name] for part in parts]) for name in parts[0].context},
            **rows,
        )

    def __len__(self) -> int:
        return len(self.users)

    def block(self, start: int, stop: int) -> Self:
        """Queries start..stop-1 as queries of their own (views, no copy)."""
        stop = min(stop, len(self))
        if (start, stop) == (0, len(self)):
            return self
        low, high = int(self.indptr[start]), int(self.indptr[stop])
        return type(self)(
            users=self.users[start:stop],
            indptr=self.indptr[start : stop + 1] - low,
            items=self.items[low:high],
            weights=self.weights[low:high],
            times=self.times[low:high],
            context={name: values[start:stop] for name, values in self.context.items()},
        )

    def csr(self, n_items: int) -> csr_matrix:
        """The histories as an (n, n_items) float32 matrix of summed weights: the same for all who ask, to be read."""

        def summed() -> csr_matrix:
            # the constructor sorts and sums in place: it must own its arrays, or the query would be written to
            rows = self.weights.copy(), self.items.copy(), self.indptr.copy()
            matrix = csr_matrix(rows, shape=(len(self), n_items))
            matrix.sum_duplicates()
            return matrix

        return self.once(("csr", n_items), summed)

    def once(self, key: Hashable, make: Callable[[], csr_matrix]) -> csr_matrix:
        """What `make` makes of these queries, made at the first call under a key; to be read by all who ask."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

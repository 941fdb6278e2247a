"""What every index is: vectors in; for a query the numbers of those with the largest inner product, best first."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from bakeoff.catalogue import lookup
from recsys.data.parameters import check_parameters
from recsys.index import INDEXES

Found = tuple[NDArray[np.int32], NDArray[np.float32]]
"""(n, k) numbers, best first, and their inner products; -1 and NaN where there is nothing more."""
SAMPLE, AT = 256, 10
"""The recall is measured on so many queries, among the so many best."""


@dataclass
class Index(ABC):
    """The contract of an index. A subclass is a dataclass: its fields are its parameters.

    Vectors are searched by inner product; of unit length, that is the cosine. Equal scores are in the order of number.
    """

    name: ClassVar[str]
    """The index's name in INDEXES."""
    cure: ClassVar[str] = ""
    """What makes it find more, "" for one that finds all."""

    _recall: float | None = field(default=None, init=False, repr=False, compare=False)
    _size: tuple[int, int] = field(default=(0, 0), init=False, repr=False, compare=False)

    def build(self, vectors: NDArray[np.floating], queries: NDArray[np.floating] | None = None) -> Self:
        """Index (n, d) vectors, measure the recall and return self; a second call forgets the first.

        queries: (m, d) such as will be asked, to measure by (None: the vectors themselves); evenly spaced ones are
        taken. What is approximate is easier to find for one kind of query than for another.
        """
        kept = _checked("vectors", vectors)
        if len(kept) == 0:
            raise ValueError(f"an index needs at least one vector, got shape {vectors.shape}")
        asked = kept if queries is None else _checked("queries", queries)
        self._size = (int(kept.shape[0]), int(kept.shape[1]))
        self._build(kept)
        self._recall = recall(self, kept, asked[:: max(1, len(asked) // SAMPLE)][:SAMPLE])
        return self

    def search(self, queries: NDArray[np.floating], k: int) -> Found:
        """The k vectors of the largest inner product with each of the (n, d) queries; nothing for one with a NaN."""
        self._check_built()
        if k < 1:
            raise ValueError(f"k must be >= 1, got {k}")
        known = ~np.isnan(queries).any(axis=1)
        asked = _checked("queries", queries[known])
        if asked.shape[1] != self._size[1]:
            raise ValueError(f"queries must have the {self._size[1]} columns of the vectors, got {asked.shape[1]}")
        items = np.full((len(queries), k), -1, np.int32)
        scores = np.full((len(queries), k), np.nan, np.float32)
        width = min(k, self._size[0])
        if len(asked):
            items[known, :width], scores[known, :width] = in_order(*self._search(asked, width))
        return items, scores

    @property
    def recall(self) -> float:
        """The share of the exactly 10 best that a search finds, measured when the index was built."""
        self._check_built()
        assert self._recall is not None
        return self._recall

    @property
    def adapted(self) -> str:
        """What was changed of the parameters because there are too few vectors for them, and why; "" for nothing."""
        return ""

    @abstractmethod
    def _build(self, vectors: NDArray[np.float32]) -> None:
        """The mathematics of `build`; `_size` is set."""

    @abstractmethod
    def _search(self, queries: NDArray[np.float32], k: int) -> Found:
        """The mathematics of `search`, in any order; k is at most the number of vectors."""

    @abstractmethod
    def _arrays(self) -> dict[str, NDArray[Any]]:
        """What `_take_back` makes the same index of."""

    @abstractmethod
    def _take_back(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Undo `_arrays`; `_size` is set."""

    def state(self) -> dict[str, NDArray[Any]]:
        """What was built, as arrays."""
        self._check_built()
        return self._arrays() | {"size": np.array(self._size), "recall": np.array(self._recall)}

    def restore(self, state: dict[str, NDArray[Any]]) -> Self:
        """Take back what `state` of an index of the same parameters gave; returns self."""
        arrays = dict(state)
        if not {"size", "recall"} <= set(arrays) or arrays["size"].shape != (2,):
            raise ValueError(f"the state of index {self.name!r} holds size, recall and its arrays, got {sorted(state)}")
        n, d = arrays.pop("size")
        self._size, self._recall = (int(n), int(d)), float(arrays.pop("recall"))
        self._take_back(arrays)
        return self

    def _check_built(self) -> None:
        if self._recall is None:
            raise RuntimeError(f"index {self.name!r} is not built; call build(vectors) or restore(state) first")


def create(name: str, **params: Any) -> Index:
    """The index that INDEXES registers under `name`, not built; an unknown parameter is refused by name."""
    kind: type[Index] = lookup(INDEXES, name, "index")
    check_parameters(kind, params, f"index {name!r}")
    return kind(**params)


def in_order(items: NDArray[np.int32], scores: NDArray[np.float32]) -> Found:
    """Each row by falling score, equal ones by number, what was not found (-1) at the end with score NaN."""
    scores = np.where(items < 0, np.float32(np.nan), scores)
    order = np.lexsort((items, -scores), axis=1)  # NaN sorts last
    return np.take_along_axis(items, order, axis=1), np.take_along_axis(scores, order, axis=1)


def recall(index: Index, vectors: NDArray[np.float32], queries: NDArray[np.float32]) -> float:
    """The mean share of the exact AT best that the index finds; one as good as the last of them counts as one."""
    k = min(AT, len(vectors))
    items, _ = index._search(queries, k)
    true = queries @ vectors.T
    worst = np.partition(true, len(vectors) - k, axis=1)[:, len(vectors) - k]
    found = np.take_along_axis(true, items.clip(min=0).astype(np.int64), axis=1)
    # the index sums in another order: a few units in the last place are no miss
    slack = 1e-5 * np.abs(true).max(axis=1)
    return float(((found >= (worst - slack)[:, None]) & (items >= 0)).mean())


def _checked(name: str, vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    values = np.ascontiguousarray(vectors, dtype=np.float32)
    if values.ndim != 2 or values.shape[1] == 0:
        raise ValueError(f"{name} must be (n, d) numbers, got shape {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError(f"{name} must be finite, row {(~np.isfinite(values)).any(axis=1).argmax()} is not")
    return values

"""faiss's indexes by inner product: flat (exact), HNSW (a graph) and IVF-PQ (lists of compressed vectors)."""

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import isqrt
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from recsys.data.parameters import check_whole
from recsys.index.base import Found, Index

_TRAINING = 39
"""Vectors that faiss wants for each centre of a k-means before it trusts it."""


@dataclass
class _Faiss(Index):
    """What the three share. threads: of faiss in a search; its own number is put back."""

    threads: int = 2

    _index: Any = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name, value in self._whole_numbers().items():
            check_whole(f"{name} of index {self.name!r}", value, 1)

    def _whole_numbers(self) -> dict[str, int]:
        return {"threads": self.threads}

    @abstractmethod
    def _empty(self, faiss: Any) -> Any:
        """faiss's index for vectors of `_size`, before training."""

    def _tune(self, index: Any) -> None:
        """Set what is a matter of searching, not of building."""

    def _build(self, vectors: NDArray[np.float32]) -> None:
        with _faiss(threads=1) as faiss:  # one thread: more would build another graph each time
            index = self._empty(faiss)
            index.train(vectors)
            index.add(vectors)
        self._tune(index)
        self._index = index

    def _search(self, queries: NDArray[np.float32], k: int) -> Found:
        with _faiss(self.threads):
            scores, items = self._index.search(queries, k)
        return items.astype(np.int32), scores

    def _arrays(self) -> dict[str, NDArray[Any]]:
        with _faiss(threads=1) as faiss:
            return {"faiss": faiss.serialize_index(self._index)}

    def _take_back(self, arrays: dict[str, NDArray[Any]]) -> None:
        if set(arrays) != {"faiss"}:
            raise ValueError(f"index {self.name!r} is made of the array `faiss`, got {sorted(arrays)}")
        with _faiss(threads=1) as faiss:
            index = faiss.deserialize_index(np.ascontiguousarray(arrays["faiss"]))
        if (index.ntotal, index.d) != self._size:
            raise ValueError(f"index {self.name!r} must hold {self._size}, got {(index.ntotal, index.d)}")
        self._tune(index)
        self._index = index


@dataclass
class Flat(_Faiss):
    """All products, by faiss. Exact, like `exact`, which is faster."""

    name: ClassVar[str] = "flat"

    def _empty(self, faiss: Any) -> Any:
        return faiss.IndexFlatIP(self._size[1])


@dataclass
class HNSW(_Faiss):
    """A graph of neighbours, walked from the top (Malkov & Yashunin 2016), on the inner product itself.

    neighbours: links of a vector; build_width, width: candidates kept while building and while searching, the dial
    between recall and speed. At 50,000 x 64 exact search is the faster one once a recall above .96 is wanted; the graph
    gains with larger catalogues. Built by one thread, so that the same vectors give the same graph.
    """

    name: ClassVar[str] = "hnsw"
    cure: ClassVar[str] = "raise `width`, or `neighbours` and `build_width`; `exact` finds all"

    neighbours: int = 32
    build_width: int = 100
    width: int = 128

    def _whole_numbers(self) -> dict[str, int]:
        names = ("threads", "neighbours", "build_width", "width")
        return {name: getattr(self, name) for name in names}

    def _empty(self, faiss: Any) -> Any:
        index = faiss.IndexHNSWFlat(self._size[1], self.neighbours, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = self.build_width
        return index

    def _tune(self, index: Any) -> None:
        index.hnsw.efSearch = self.width


@dataclass
class IVFPQ(_Faiss):
    """Vectors in lists around centres, their rests compressed to a code (Jegou, Douze & Schmid 2011).

    lists: how many (None: 4 sqrt(n)); probes: lists that a search opens; subspaces: codes of a vector, one byte each:
    its memory. For catalogues whose vectors do not fit uncompressed. k-means wants 39 vectors a centre: where there are
    fewer there are fewer lists, codes of 4 bits, and below 624 vectors no compression at all; `adapted` says so.
    """

    name: ClassVar[str] = "ivfpq"
    cure: ClassVar[str] = "raise `probes`, or `subspaces` as far as memory goes; `exact` finds all"

    lists: int | None = None
    probes: int = 16
    subspaces: int = 16

    def _whole_numbers(self) -> dict[str, int]:
        lists = {} if self.lists is None else {"lists": self.lists}
        return {"threads": self.threads, "probes": self.probes, "subspaces": self.subspaces, **lists}

    @property
    def adapted(self) -> str:
        """What was changed of the parameters because the vectors are too few or too short for them, and why."""
        n, d = self._size
        lists, bits, subspaces = self._fitting()
        if bits == 0:
            return f"a flat index: {n} vectors are too few to train a code ({_TRAINING * 16} needed)" if n else ""
        changes = []
        if self.lists is not None and lists < self.lists:
            changes.append(f"{lists} lists instead of {self.lists}: {n} vectors, {_TRAINING} needed for each")
        if bits < 8:
            changes.append(f"codes of {bits} bits instead of 8: {n} vectors, {_TRAINING * 256} needed")
        if subspaces < self.subspaces:
            changes.append(f"{subspaces} subspaces instead of {self.subspaces}: they must divide {d} dimensions")
        return "; ".join(changes)

    def _fitting(self) -> tuple[int, int, int]:
        """(lists, bits of a code, subspaces) that the size allows; bits 0: no code at all."""
        n, d = self._size
        wanted = 4 * isqrt(n) if self.lists is None else self.lists
        lists = max(1, min(wanted, n // _TRAINING))
        bits = next((bits for bits in (8, 4) if n >= _TRAINING * 2**bits), 0)
        subspaces = next(m for m in range(min(self.subspaces, d), 0, -1) if d % m == 0)
        return lists, bits, subspaces

    def _empty(self, faiss: Any) -> Any:
        d = self._size[1]
        lists, bits, subspaces = self._fitting()
        if bits == 0:
            return faiss.IndexFlatIP(d)
        return faiss.IndexIVFPQ(faiss.IndexFlatIP(d), d, lists, subspaces, bits, faiss.METRIC_INNER_PRODUCT)

    def _tune(self, index: Any) -> None:
        if self._fitting()[1]:
            index.nprobe = self.probes


@contextmanager
def _faiss(threads: int) -> Iterator[Any]:
    """The library, with so many threads for the time being."""
    try:
        import faiss
    except ImportError as missing:
        raise ImportError("this index needs faiss: pip install 'bakeoff[faiss]'; 'exact' does without") from missing
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(threads)
    try:
        yield faiss
    finally:
        faiss.omp_set_num_threads(before)

"""Exact search: every product is made, in tiles that stay in the cache, and only the best so far are kept."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from recsys.compiled import compiled
from recsys.data.parameters import check_whole
from recsys.index.base import Found, Index

_QUERIES, _VECTORS = 512, 1024
"""Rows and columns of a tile of products: 2 MiB, made by BLAS and read once while it is still in the cache."""


@dataclass
class Exact(Index):
    """The true best, at n * d multiplications a query; memory for the vectors, 4 n d bytes, and a tile per thread.

    Faster than all products made and then cut, and than faiss's flat index: tests/benchmarks/test_bench_index.py.

    threads: blocks of queries at a time; BLAS gets one thread in each.
    """

    name: ClassVar[str] = "exact"

    threads: int = 2

    _vectors: NDArray[np.float32] | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_whole("threads of index 'exact'", self.threads, 1)

    def _build(self, vectors: NDArray[np.float32]) -> None:
        self._vectors = vectors

    def _search(self, queries: NDArray[np.float32], k: int) -> Found:
        vectors = self._vectors
        assert vectors is not None
        keep = compiled(_keep_best)
        items = np.full((len(queries), k), -1, np.int32)
        scores = np.full((len(queries), k), -np.inf, np.float32)

        def work(start: int) -> None:
            rows = slice(start, start + _QUERIES)
            for first in range(0, len(vectors), _VECTORS):
                keep(queries[rows] @ vectors[first : first + _VECTORS].T, first, items[rows], scores[rows])

        starts = range(0, len(queries), _QUERIES)
        if self.threads == 1 or len(starts) == 1:
            for start in starts:
                work(start)
        else:
            with _blas().limit(limits=1, user_api="blas"), ThreadPoolExecutor(self.threads) as pool:
                list(pool.map(work, starts))
        return items, scores

    def _arrays(self) -> dict[str, NDArray[Any]]:
        assert self._vectors is not None
        return {"vectors": self._vectors}

    def _take_back(self, arrays: dict[str, NDArray[Any]]) -> None:
        if set(arrays) != {"vectors"} or arrays["vectors"].shape != self._size:
            raise ValueError(
                f"index 'exact' of size {self._size} is made of `vectors` of that shape, got {arrays.keys()}"
            )
        self._vectors = arrays["vectors"]


@cache
def _blas() -> Any:
    """The BLAS libraries of this process. Kept: to find them costs more than many queries."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def _keep_best(
    products: NDArray[np.float32], first: int, items: NDArray[np.int32], scores: NDArray[np.float32]
) -> None:
    """Take the better columns of a tile into each row's heap of the best, whose root is the worst of them.

    first: the number of the tile's first column. Columns come in rising order and a later one must be better than the
    root to get in, so among equal ones the lowest numbers stay.
    """
    k = scores.shape[1]
    for row in range(products.shape[0]):
        product, best, number = products[row], scores[row], items[row]
        bound = best[0]
        for start in range(0, len(product), 16):
            stop = min(start + 16, len(product))
            promising = False
            for column in range(
                start, stop
            ):  # without a branch inside: the compiler makes it a few vector instructions
                promising |= product[column] > bound
            if not promising:
                continue
            for column in range(start, stop):
                value = product[column]
                if value <= bound:
                    continue
                item, place = first + column, 0
                while True:  # sift down from the root
                    child = 2 * place + 1
                    if child >= k:
                        break
                    other = child + 1
                    if other < k and (
                        best[other] < best[child] or (best[other] == best[child] and number[other] > number[child])
                    ):
                        child = other
                    if best[child] > value or (best[child] == value and number[child] < item):
                        break
                    best[place], number[place] = best[child], number[child]
                    place = child
                best[place], number[place] = value, item
                bound = best[0]

"""SLIM: each item predicted from few others, by regressions with an elastic net."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_matrix, csr_matrix

from recsys.compiled import compiled
from recsys.data.dataset import Dataset
from recsys.models.base import Family, Watch, check_real, check_whole, training_likes
from recsys.models.sparse import ItemToItem, nearest, rows_of, sums

_TOLERANCE = 1e-3
"""A round that moves no weight by more ends the descent: weights are of order .1."""
_CHUNK = 256
"""Items in one piece of work of a thread."""


@dataclass
class SLIM(ItemToItem):
    """weights[:, j] minimises |x_j - X w|^2 / 2 + l2 |w|^2 / 2 + l1 |w|_1, without x_j itself and, `positive`, w >= 0.

    Ning & Karypis 2011, in the variant that chooses features (fsSLIM): only the `candidates` items of highest cosine
    with j may have a weight. By coordinate descent, in numba; the items are independent, so `threads` of them at once
    give the same result.

    Fitting costs, for each item, a few rounds over the likes of its candidates; memory: `candidates` weights an item.
    """

    name: ClassVar[str] = "slim"
    family: ClassVar[Family] = "linear"
    source: ClassVar[str] = "Ning & Karypis 2011"
    needs: ClassVar[tuple[str, ...]] = ("train",)

    l1: float = 1.0
    l2: float = 10.0
    candidates: int = 100
    positive: bool = True
    rounds: int = 50
    threads: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_real("l1", self.l1, least=0)
        check_real("l2", self.l2, least=0, above=True)
        for name in ("candidates", "rounds", "threads"):
            check_whole(name, getattr(self, name), 1)
        if not isinstance(self.positive, bool):
            raise ValueError(f"positive must be true or false, got {self.positive!r}")

    def _fit(self, dataset: Dataset, watch: Watch | None) -> None:
        descend = compiled(_descend)
        likes = training_likes(dataset, self.weighting)
        columns = likes.tocsc()
        features = _most_similar(likes, self.candidates)
        weights = np.zeros(features.nnz, np.float32)
        options = (self.l1, self.l2, self.positive, self.rounds, _TOLERANCE)

        def solve(first: int) -> None:
            last = min(first + _CHUNK, likes.shape[1])
            residual = np.zeros(likes.shape[0], np.float32)
            descend(first, last, *_arrays(columns), *_arrays(features), residual, weights, *options)

        with ThreadPoolExecutor(self.threads) as pool:
            list(pool.map(solve, range(0, likes.shape[1], _CHUNK)))
        learnt = csr_matrix((weights, features.indices, features.indptr), shape=features.shape)
        learnt.eliminate_zeros()
        self._keep(learnt.T.tocsr())  # rows were the scored items


def _arrays(matrix: csr_matrix | csc_matrix) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    return matrix.indptr, matrix.indices, matrix.data


def _most_similar(likes: csr_matrix, k: int) -> csr_matrix:
    """(n_items, n_items) the k items of highest cosine with each one."""
    items = likes.T.tocsr()
    lengths = np.sqrt(sums(items.multiply(items), axis=1))

    def divide(rows: NDArray[np.int64], products: csr_matrix) -> None:
        products.data /= lengths[rows][rows_of(products)] * lengths[products.indices]

    features = nearest(items, items.T.tocsr(), k, divide)
    features.sort_indices()
    return features


def _descend(
    first: int,
    last: int,
    indptr: NDArray[np.int32],
    users: NDArray[np.int32],
    likes: NDArray[np.float32],
    starts: NDArray[np.int32],
    features: NDArray[np.int32],
    cosines: NDArray[np.float32],
    residual: NDArray[np.float32],
    weights: NDArray[np.float32],
    l1: float,
    l2: float,
    positive: bool,
    rounds: int,
    tolerance: float,
) -> None:
    """Write the weights of the features of the items first..last-1; `residual` (n_users,) is scratch, zero outside."""
    for target in range(first, last):
        for cell in range(indptr[target], indptr[target + 1]):
            residual[users[cell]] = likes[cell]
        for _ in range(rounds):
            moved = 0.0
            for place in range(starts[target], starts[target + 1]):
                feature = features[place]
                product, square = 0.0, 0.0
                for cell in range(indptr[feature], indptr[feature + 1]):
                    product += likes[cell] * residual[users[cell]]
                    square += likes[cell] * likes[cell]
                pull = product + square * weights[place]
                shrunk = max(abs(pull) - l1, 0.0) / (square + l2)
                new = shrunk if pull > 0 else (0.0 if positive else -shrunk)
                step = new - weights[place]
                if step != 0:
                    for cell in range(indptr[feature], indptr[feature + 1]):
                        residual[users[cell]] -= step * likes[cell]
                    weights[place] = new
                    moved = max(moved, abs(step))
            if moved <= tolerance:
                break
        for cell in range(indptr[target], indptr[target + 1]):
            residual[users[cell]] = 0
        for place in range(starts[target], starts[target + 1]):
            feature = features[place]
            for cell in range(indptr[feature], indptr[feature + 1]):
                residual[users[cell]] = 0

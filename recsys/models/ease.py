"""EASE: the best linear map from a history to itself in which no item may predict itself. A closed form."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys.data.dataset import Dataset
from recsys.data.queries import Queries
from recsys.models.base import (
    Family,
    Recommender,
    Watch,
    Weighting,
    check_choice,
    check_real,
    query_likes,
    training_likes,
)
from recsys.models.sparse import sums

_PANEL = 512
"""Columns that are eliminated at once: enough for BLAS to run at its full speed."""
_TILE = 4096
"""Columns of a product that are subtracted while they are still in the cache."""


@dataclass
class EASE(Recommender):
    """scores = history B, where B minimises |X - X B|^2 + regularization |B|^2 with a diagonal of 0.

    Steck 2019, "Embarrassingly Shallow Autoencoders for Sparse Data": with P = (X^T X + regularization I)^-1,
    B[i, j] = -P[i, j] / P[j, j]. Strong on dense data, weaker on very sparse.

    A like of the history counts decay ** age when there is a decay below 1: see `query_likes`. An empty history and an
    item that nobody liked in training score NaN.

    Fitting takes n_items^3 floating-point operations and little more than the memory of the one dense matrix,
    4 n_items^2 bytes; a matrix above memory_limit_gb is refused before anything is allocated. A score costs n_items
    for each item of the history, whatever the number of users.
    """

    name: ClassVar[str] = "ease"
    family: ClassVar[Family] = "linear"
    source: ClassVar[str] = "Steck 2019"
    arrays: ClassVar[Mapping[str, tuple[str, ...]]] = {"weights": ("n_items", "n_items"), "known_items": ("n_items",)}

    regularization: float = 100.0
    weighting: Weighting = "binary"
    decay: float = 1.0
    memory_limit_gb: float = 8.0

    def __post_init__(self) -> None:
        check_real("regularization", self.regularization, least=0, above=True)
        check_choice("weighting", self.weighting, Weighting)
        check_real("decay", self.decay, least=0, most=1, above=True)
        check_real("memory_limit_gb", self.memory_limit_gb, least=0, above=True)

    def _fit(self, dataset: Dataset, watch: Watch | None) -> None:
        likes = training_likes(dataset, self.weighting)
        self._check_memory(likes.shape[1], dataset.name)
        matrix = _gram(likes)
        matrix.flat[:: len(matrix) + 1] += self.regularization
        invert_in_place(matrix)
        # overwritten: one dense matrix is all that may be held
        matrix /= -matrix.diagonal()
        np.fill_diagonal(matrix, 0)
        self._learnt = {"weights": matrix, "known_items": sums(likes, axis=0) > 0}

    def score(self, queries: Queries) -> NDArray[np.float32]:
        """(n, n_items) the histories times the weights; NaN for an empty one and for items without likes."""
        learnt = self.state()
        histories = query_likes(queries, len(learnt["weights"]), self.weighting, decay=self.decay)
        scores: NDArray[np.float32] = histories @ learnt["weights"]
        scores[np.diff(histories.indptr) == 0] = np.nan
        scores[:, ~learnt["known_items"]] = np.nan
        return scores

    def _check_memory(self, n_items: int, name: str) -> None:
        needed = 4 * n_items**2 / 1e9
        if needed > self.memory_limit_gb:
            raise MemoryError(
                f"ease on the {n_items:,} items of {name!r} needs {needed:,.1f} GB for its item-item matrix, "
                f"memory_limit_gb is {self.memory_limit_gb:g}; raise it if the machine has more, leave out rare items, "
                "or use a model with a sparse one: slim, rp3beta, item_knn"
            )


def invert_in_place(matrix: NDArray[np.float32]) -> None:
    """Replace a symmetric positive definite matrix by its inverse, within its own memory plus some panels.

    The sweep operator by blocks: n^3 operations, as many as Cholesky's factorisation and inverse, all of them
    in matrix products on the lower triangle. LAPACK's spotrf and spotri do the same work, but with 32-bit integers
    they crash on 40,000 items. Diagonal blocks are inverted in float64.
    """
    n = len(matrix)
    for start in range(0, n, _PANEL):
        stop = min(start + _PANEL, n)
        panel = np.concatenate([matrix[start:stop, :start].T, matrix[start:, start:stop]])
        panel[start:stop] = np.tril(panel[start:stop]) + np.tril(panel[start:stop], -1).T
        inverse = np.linalg.inv(panel[start:stop].astype(np.float64)).astype(np.float32)
        swept = panel @ inverse
        _subtract_lower(matrix, swept, panel)
        matrix[start:stop, :start] = swept[:start].T
        matrix[stop:, start:stop] = swept[stop:]
        matrix[start:stop, start:stop] = -inverse
    for start in range(0, n, _PANEL):  # so far it is minus the inverse, of which the lower triangle holds
        stop = min(start + _PANEL, n)
        block = matrix[start:stop, start:stop]
        block[:] = np.tril(block) + np.tril(block, -1).T
        np.negative(matrix[start:stop, :stop], out=matrix[start:stop, :stop])
        matrix[:start, start:stop] = matrix[start:stop, :start].T


def _subtract_lower(matrix: NDArray[np.float32], left: NDArray[np.float32], right: NDArray[np.float32]) -> None:
    """matrix -= left @ right.T, in the blocks of the lower triangle."""
    for row in range(0, len(matrix), _PANEL):
        rows = slice(row, row + _PANEL)
        for column in range(0, min(row + _PANEL, len(matrix)), _TILE):
            columns = slice(column, min(column + _TILE, row + _PANEL))
            matrix[rows, columns] -= left[rows] @ right[columns].T


def _gram(likes: csr_matrix) -> NDArray[np.float32]:
    """(n_items, n_items) likes^T likes, dense; made in blocks of rows."""
    items = likes.T.tocsr()
    n_items = items.shape[0]
    gram = np.empty((n_items, n_items), np.float32)
    for start in range(0, n_items, _PANEL):
        gram[start : start + _PANEL] = (items[start : start + _PANEL] @ likes).toarray()
    return gram

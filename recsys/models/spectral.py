"""Spectral models: a history is a signal on the graph of items, a filter passes what varies little along the graph."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags_array

from recsys.data.dataset import Dataset
from recsys.data.queries import Queries
from recsys.models.base import (
    Recommender,
    Watch,
    Weighting,
    check_choice,
    check_real,
    check_whole,
    query_likes,
    training_likes,
)
from recsys.models.sparse import with_data

_OVERSAMPLING = 32
"""Directions beyond those asked for: they speed up the convergence of the last ones."""
_ROUNDS = 5
"""On Gowalla, 256 vectors: .99996 of what they explain, where 24 rounds without the filter find .9998."""
_STEEPEST = 2e5
_MOST_PRODUCTS = 20
"""Of a filter."""


@dataclass
class SpectralModel(Recommender):
    """A model that answers a history with a linear filter of it. A subclass learns the filter and says `_filter`.

    A like counts decay ** age when there is a decay below 1: see `query_likes`. An empty history and an item that
    nobody liked in training score NaN.
    """

    weighting: Weighting = "binary"
    decay: float = 1.0

    def __post_init__(self) -> None:
        check_choice("weighting", self.weighting, Weighting)
        check_real("decay", self.decay, least=0, most=1, above=True)

    def score(self, queries: Queries) -> NDArray[np.float32]:
        """(n, n_items) the filtered histories."""
        known = self.state()["known_items"]
        histories = query_likes(queries, len(known), self.weighting, decay=self.decay)
        scores = np.ascontiguousarray(self._filter(histories), dtype=np.float32)
        scores[np.diff(histories.indptr) == 0] = np.nan
        scores[:, ~known] = np.nan
        return scores

    @abstractmethod
    def _filter(self, histories: csr_matrix) -> NDArray[np.float32]:
        """(n, n_items) the answer to each row of likes."""


@dataclass
class GraphFilter(SpectralModel):
    """A filter made of two parts: the graph of items P and its `factors` smoothest directions V.

    With R the matrix of likes divided by the roots of the users' and the items' degrees: P = R^T R, V its first
    eigenvectors. P is never formed: a signal goes through R and R^T, two times the number of likes for each query.
    Fitting costs some twenty products of R with `factors` columns; memory: R and a few times n_items * factors.
    """

    arrays: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "indptr": ("n_users + 1",),
        "indices": ("n_likes",),
        "values": ("n_likes",),
        "vectors": ("n_items", "rank"),
        "item_roots": ("n_items",),
        "known_items": ("n_items",),
    }

    factors: int = 256
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("factors", self.factors, 1)
        check_whole("seed", self.seed, 0)

    def _fit(self, dataset: Dataset, watch: Watch | None) -> None:
        graph, roots = normalised(training_likes(dataset, self.weighting))
        self._learnt = {
            "indptr": graph.indptr,
            "indices": graph.indices,
            "values": graph.data,
            "vectors": right_singular_vectors(graph, self.factors, self.seed),
            "item_roots": roots,
            "known_items": roots > 0,
        }

    def _graph(self) -> csr_matrix:
        """(n_users, n_items) R."""
        learnt = self.state()
        shape = (len(learnt["indptr"]) - 1, len(learnt["item_roots"]))
        return csr_matrix((learnt["values"], learnt["indices"], learnt["indptr"]), shape=shape)

    def _smooth(self, histories: csr_matrix) -> NDArray[np.float32]:
        """(n, n_items) the ideal low-pass filter: histories D^-1/2 V V^T D^1/2, D the degrees of the items."""
        learnt = self.state()
        roots = learnt["item_roots"]
        # an item without likes is left out
        spread = with_data(histories, histories.data * _inverse(roots)[histories.indices])
        smooth: NDArray[np.float32] = (spread @ learnt["vectors"]) @ (learnt["vectors"] * roots[:, None]).T
        return smooth


def normalised(likes: csr_matrix) -> tuple[csr_matrix, NDArray[np.float32]]:
    """likes[u, i] / sqrt(degree(u) degree(i)), and the roots of the items' degrees, 0 for an item without likes."""
    user_roots, item_roots = (np.sqrt(np.asarray(likes.sum(axis=axis), np.float64).ravel()) for axis in (1, 0))
    left, right = (diags_array(_inverse(roots)) for roots in (user_roots, item_roots))
    matrix = csr_matrix(left @ likes @ right).astype(np.float32)
    matrix.sort_indices()
    return matrix, item_roots.astype(np.float32)


def right_singular_vectors(matrix: csr_matrix, k: int, seed: int) -> NDArray[np.float32]:
    """(n_columns, at most k) those of the largest singular values, in order; none of a value of 0.

    Randomised subspace iteration (Halko, Martinsson & Tropp 2011) with a Chebyshev filter (Zhou & Saad 2007) between
    two orthogonalisations, which keeps all values above the smallest one found and damps those below. Exact when the
    matrix has few rows or columns. The signs are whatever they are: only projections on the vectors mean something.
    """
    width = min(k + _OVERSAMPLING, *matrix.shape)
    start = np.random.default_rng(seed).standard_normal((matrix.shape[1], width), dtype=np.float32)
    basis = np.linalg.qr(matrix.T @ (matrix @ start)).Q
    squares, turn = _ritz(matrix, basis)
    for _ in range(_ROUNDS if width < min(matrix.shape) else 0):
        if not _is_real(squares)[0]:
            break  # the basis holds all there is
        basis = np.linalg.qr(_filtered(matrix, basis, float(squares[0]), float(squares[-1]))).Q
        squares, turn = _ritz(matrix, basis)
    vectors: NDArray[np.float32] = basis @ turn[:, _is_real(squares)][:, ::-1][:, :k]
    return vectors


def _ritz(matrix: csr_matrix, basis: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """The squared singular values within the basis, rising, and the turn of the basis to their vectors."""
    image = matrix @ basis
    squares, turn = np.linalg.eigh((image.T @ image).astype(np.float64))
    return squares, turn.astype(np.float32)


def _is_real(squares: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which squared singular values are more than rounding."""
    real: NDArray[np.bool_] = squares > squares[-1] * len(squares) * np.finfo(np.float32).eps
    return real


def _filtered(matrix: csr_matrix, basis: NDArray[np.float32], least: float, most: float) -> NDArray[np.float32]:
    """A Chebyshev polynomial of matrix^T matrix times the basis: at most 1 on 0..least, steep above.

    Its degree is such that its value at `most` leaves float32 room for what is at `least`.
    """
    degree = max(1, int(np.log(_STEEPEST) / np.arccosh(max(2 * most / least - 1, 1.001))))
    degree = min(degree, _MOST_PRODUCTS)
    before: NDArray[np.float32] = basis
    now: NDArray[np.float32] = (2 / least) * (matrix.T @ (matrix @ basis)) - basis
    for _ in range(degree - 1):
        before, now = now, (4 / least) * (matrix.T @ (matrix @ now)) - 2 * now - before
    return now


def _inverse(roots: NDArray[np.floating]) -> NDArray[np.floating]:
    """1 / root, 0 where the root is."""
    inverse: NDArray[np.floating] = np.divide(1, roots, out=np.zeros_like(roots), where=roots > 0)
    return inverse

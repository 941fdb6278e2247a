"""iALS: implicit matrix factorisation whose regularisation grows with how often a user or an item occurs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys.data.dataset import Dataset
from recsys.data.queries import Queries
from recsys.models.base import (
    Family,
    Recommender,
    State,
    Watch,
    Weighting,
    check_choice,
    check_real,
    check_whole,
    query_likes,
    training_likes,
)
from recsys.models.sparse import sums

_CELLS = 1 << 22
"""Numbers in one batch of systems: 16 MiB of float32."""

Floats = NDArray[np.float32]


@dataclass
class IALS(Recommender):
    """Factors w, h that minimise a sum over likes, one over all pairs, and one over users and items.

    Likes: weight * (1 - w h)^2; pairs: unobserved * (w h)^2; users and items: regularization *
    (n_likes + unobserved * n_others)^frequency * |factors|^2, with n_others all items or all users.

    Rendle, Krichene, Zhang & Koren 2022, "Revisiting the Performance of iALS": frequency 1 is worth .0065 Recall@20 on
    Gowalla, and `unobserved` and `regularization` must be tuned together. `als` is the classic form (frequency 0).

    Only the items' factors are kept: a user's are solved from the history in the query, in closed form, so that a
    user whom the training never saw is served like any other. A like of the history counts decay ** age when there is
    a decay below 1. An empty history and an item that nobody liked in training score NaN.

    By turns of exact solutions. In the basis of the other side's Gram matrix its part of a system is diagonal, so a row
    with n < factors likes costs n^2 * factors + n^3 instead of n * factors^2 + factors^3. Memory: both factor matrices.
    """

    name: ClassVar[str] = "ials"
    family: ClassVar[Family] = "factorisation"
    source: ClassVar[str] = "Rendle et al. 2022"
    arrays: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "item_factors": ("n_items", "n_factors"),
        "spectrum": ("n_factors",),
        "known_items": ("n_items",),
    }

    factors: int = 64
    regularization: float = 0.003
    unobserved: float = 0.01
    frequency: float = 1.0
    iterations: int = 16
    weighting: Weighting = "binary"
    decay: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_whole("factors", self.factors, 1)
        check_real("regularization", self.regularization, least=0, above=True)
        check_real("unobserved", self.unobserved, least=0, above=True)
        check_real("frequency", self.frequency, least=0)
        check_whole("iterations", self.iterations, 1)
        check_choice("weighting", self.weighting, Weighting)
        check_real("decay", self.decay, least=0, most=1, above=True)
        check_whole("seed", self.seed, 0)

    def _fit(self, dataset: Dataset, watch: Watch | None) -> None:
        likes = training_likes(dataset, self.weighting)
        by_item = likes.T.tocsr()
        known = sums(likes, axis=0) > 0
        items = np.random.default_rng(self.seed).standard_normal((likes.shape[1], self.factors), dtype=np.float32)
        items *= np.float32(0.1 / np.sqrt(self.factors))
        for epoch in range(1, self.iterations + 1):
            users = self._half_step(likes, items)
            items = self._half_step(by_item, users)
            if watch is not None or epoch == self.iterations:
                basis, spectrum = _principal(items)
                self._learnt = {"item_factors": basis, "spectrum": spectrum, "known_items": known}
            if watch is not None:
                watch(epoch, self)

    def score(self, queries: Queries) -> Floats:
        """(n, n_items) products of the factors solved from the histories with those of the items."""
        learnt = self.state()
        items = learnt["item_factors"]
        histories = query_likes(queries, len(items), self.weighting, decay=self.decay)
        scores: Floats = self._solve(histories, items, learnt["spectrum"]) @ items.T
        scores[np.diff(histories.indptr) == 0] = np.nan
        scores[:, ~learnt["known_items"]] = np.nan
        return scores

    def restore(self, state: State) -> Self:
        """Take back what `state` gave; returns self."""
        n_factors = state["item_factors"].shape[-1] if "item_factors" in state else self.factors
        if n_factors != self.factors:
            raise ValueError(f"item_factors of 'ials' must have {self.factors} factors, got {n_factors}")
        return super().restore(state)

    def _half_step(self, likes: csr_matrix, others: Floats) -> Floats:
        return self._solve(likes, *_principal(others))

    def _solve(self, likes: csr_matrix, others: Floats, spectrum: Floats) -> Floats:
        """The best factors of each row of likes, for factors of the columns whose Gram matrix is diag(spectrum)."""
        n_likes = np.diff(likes.indptr)
        ridge = self.regularization * (n_likes + self.unobserved * len(others)) ** self.frequency
        solved = np.zeros((likes.shape[0], self.factors), np.float32)
        for rows, width in _batches(n_likes, self.factors):
            # (m, width, factors) the factors of what each row likes, times the root of the weight; padded with zeros
            place = (likes.indptr[rows][:, None] + np.arange(width)).clip(max=max(likes.nnz - 1, 0))
            roots = np.sqrt(likes.data[place]) * (np.arange(width) < n_likes[rows][:, None])
            liked = others[likes.indices[place]] * roots[:, :, None]
            diagonal = (self.unobserved * spectrum + ridge[rows][:, None]).astype(np.float32)
            solve = _dual if width < self.factors else _primal
            solved[rows] = solve(liked, roots, diagonal)
        return solved


def _principal(factors: Floats) -> tuple[Floats, Floats]:
    """The factors turned so that their Gram matrix is diagonal, and that diagonal. Products with them do not change."""
    spectrum, turn = np.linalg.eigh((factors.T @ factors).astype(np.float64))
    return factors @ turn.astype(np.float32), spectrum.clip(min=0).astype(np.float32)


def _primal(liked: Floats, roots: Floats, diagonal: Floats) -> Floats:
    """(m, d) x that solves (diag + V^T V) x = V^T roots."""
    system = liked.transpose(0, 2, 1) @ liked
    places = np.arange(diagonal.shape[1])
    system[:, places, places] += diagonal
    solution: Floats = np.linalg.solve(system, liked.transpose(0, 2, 1) @ roots[:, :, None])[:, :, 0]
    return solution


def _dual(liked: Floats, roots: Floats, diagonal: Floats) -> Floats:
    """The same x, as diag^-1 V^T (1 + V diag^-1 V^T)^-1 roots: a system as wide as there are likes."""
    scaled = liked / diagonal[:, None, :]
    system = scaled @ liked.transpose(0, 2, 1)
    places = np.arange(liked.shape[1])
    system[:, places, places] += 1
    weights = np.linalg.solve(system, roots[:, :, None])
    solution: Floats = (scaled.transpose(0, 2, 1) @ weights)[:, :, 0]
    return solution


def _batches(n_likes: NDArray[np.integer], factors: int) -> Iterator[tuple[NDArray[np.int64], int]]:
    """(rows, the most likes of any of them): rows of like lengths together; those without likes are left out."""
    order = np.argsort(-n_likes, kind="stable")
    order = order[n_likes[order] > 0]
    start = 0
    while start < len(order):
        width = int(n_likes[order[start]])
        size = max(1, _CELLS // (width * factors + min(width, factors) ** 2))
        yield order[start : start + size], width
        start += size

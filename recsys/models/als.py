"""ALS: matrix factorisation of implicit feedback, every missing pair a weak no (Hu, Koren & Volinsky 2008)."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cache
from typing import Any, ClassVar, Self

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

_WORTH_THREADS = 64
"""Histories below which one thread solves them sooner than several that must first be woken."""


@dataclass
class ALS(Recommender):
    """Factors that solve, by turns, a weighted least squares problem; by the `implicit` library.

    A like has confidence alpha * weight (weighting `binary`: alpha), everything else confidence 1.

    Only the items' factors are kept: a user's factors are solved from the history in the query, in closed form. So a
    user whose history grew a second ago, or whom the training never saw, is served like any other, and a known user's
    factors belong to the final item factors, not to those of half a step before.
    An empty history and an item that nobody liked in training score NaN.
    """

    name: ClassVar[str] = "als"
    family: ClassVar[Family] = "factorisation"
    source: ClassVar[str] = "Hu, Koren & Volinsky 2008"
    needs: ClassVar[tuple[str, ...]] = ("train",)
    arrays: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "item_factors": ("n_items", "n_factors"),
        "known_items": ("n_items",),
    }

    factors: int = 64
    regularization: float = 0.01
    alpha: float = 1.0
    iterations: int = 15
    weighting: Weighting = "binary"
    seed: int = 0

    _solver: Any = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_whole("factors", self.factors, 1)
        check_real("regularization", self.regularization, least=0, above=True)
        check_real("alpha", self.alpha, least=0, above=True)
        check_whole("iterations", self.iterations, 1)
        check_choice("weighting", self.weighting, Weighting)
        check_whole("seed", self.seed, 0)

    def _fit(self, dataset: Dataset, watch: Watch | None) -> None:
        likes = training_likes(dataset, self.weighting)
        known = np.bincount(likes.indices, minlength=likes.shape[1]) > 0
        with _one_blas_thread():
            solver = self._new_solver()

            def keep(item_factors: NDArray[np.float32]) -> None:
                self._learnt = {"item_factors": item_factors, "known_items": known}

            def epoch_ended(epoch: int, *_: object) -> None:
                keep(solver.item_factors.copy())  # the next epoch writes into the solver's own
                if watch is not None:
                    watch(epoch + 1, self)

            solver.fit(likes, show_progress=False, callback=epoch_ended if watch is not None else None)
            keep(solver.item_factors)

    def score(self, queries: Queries) -> NDArray[np.float32]:
        """(n, n_items) products of the factors solved from the histories with those of the items."""
        learnt = self.state()
        histories = query_likes(queries, len(learnt["item_factors"]), self.weighting)
        scores: NDArray[np.float32] = self._user_factors(histories, learnt) @ learnt["item_factors"].T
        scores[:, np.flatnonzero(~learnt["known_items"])] = np.nan
        return scores

    def restore(self, state: State) -> Self:
        """Take back what `state` gave; returns self."""
        n_factors = state["item_factors"].shape[-1] if "item_factors" in state else self.factors
        if n_factors != self.factors:
            raise ValueError(f"item_factors of 'als' must have {self.factors} factors, got {n_factors}")
        return super().restore(state)

    def _user_factors(self, histories: csr_matrix, learnt: State) -> NDArray[np.float32]:
        """(n, n_factors) the closed-form half step for each history; NaN where it is empty."""
        if self._solver is None or self._solver.item_factors is not learnt["item_factors"]:
            self._solver = self._new_solver()  # kept: it caches the product of the item factors
            self._solver.item_factors = learnt["item_factors"]
        n = histories.shape[0]
        team = n >= _WORTH_THREADS  # a request would wait for one
        self._solver.num_threads = 0 if team else 1
        with _one_blas_thread() if team else nullcontext():
            factors: NDArray[np.float32] = self._solver.recalculate_user(np.arange(n), histories)
        factors[np.diff(histories.indptr) == 0] = np.nan
        return factors

    def _new_solver(self) -> Any:
        from implicit.cpu.als import AlternatingLeastSquares

        return AlternatingLeastSquares(
            factors=self.factors,
            regularization=self.regularization,
            alpha=self.alpha,
            iterations=self.iterations,
            random_state=self.seed,
        )


def _one_blas_thread() -> AbstractContextManager[Any]:
    """implicit's threads each call BLAS; BLAS threads below them cost up to ten times, so implicit warns."""
    limited: AbstractContextManager[Any] = _blas_of_implicit().limit(limits=1, user_api="blas")
    return limited


@cache
def _blas_of_implicit() -> Any:
    """The BLAS libraries of this process once implicit is loaded. Kept: to find them costs more than one query."""
    try:
        import implicit.cpu.als  # noqa: F401  first, or the BLAS that it loads would go unlimited
        from threadpoolctl import ThreadpoolController
    except ImportError as missing:
        raise ImportError("model 'als' needs implicit and threadpoolctl: pip install 'bakeoff[train]'") from missing
    return ThreadpoolController()

"""BPR: matrix factorisation that ranks what a user liked above what he did not (Rendle et al. 2009)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.data.queries import Queries
from recsys.models.base import Family, Recommender, Watch, check_real, check_whole, training_likes


@dataclass
class BPR(Recommender):
    """Factors learnt by stochastic gradient over pairs of a liked and another item; by the `implicit` library.

    One epoch draws as many pairs as there are likes; the other item is drawn by popularity. Weights play no part
    beyond their sign. It learns on one thread: with several, implicit's updates race and no run equals another.

    A user or an item that training did not see scores NaN: user factors are learnt, not solved from a history.
    """

    name: ClassVar[str] = "bpr"
    family: ClassVar[Family] = "factorisation"
    source: ClassVar[str] = "Rendle et al. 2009"
    needs: ClassVar[tuple[str, ...]] = ("train",)
    folds_in: ClassVar[bool] = False
    arrays: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "user_factors": ("n_users", "n_factors + 1"),
        "item_factors": ("n_items", "n_factors + 1"),
    }

    # many factors and slow steps: on ml-latest-small, 16 factors at rate .05 rank worse than popularity
    factors: int = 128
    learning_rate: float = 0.02
    regularization: float = 0.03
    iterations: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        check_whole("factors", self.factors, 1)
        check_real("learning_rate", self.learning_rate, least=0, above=True)
        check_real("regularization", self.regularization, least=0)
        check_whole("iterations", self.iterations, 1)
        check_whole("seed", self.seed, 0)

    def _fit(self, dataset: Dataset, watch: Watch | None) -> None:
        likes = training_likes(dataset, "binary")
        unknown_users = np.diff(likes.indptr) == 0
        unknown_items = np.bincount(likes.indices, minlength=likes.shape[1]) == 0
        learner = self._new_learner()

        def keep() -> None:
            self._learnt = {
                "user_factors": _nan_where(unknown_users, learner.user_factors),
                "item_factors": _nan_where(unknown_items, learner.item_factors),
            }

        def epoch_ended(epoch: int, *_: object) -> None:
            keep()
            if watch is not None:
                watch(epoch + 1, self)

        learner.fit(likes, show_progress=False, callback=epoch_ended if watch is not None else None)
        keep()

    def score(self, queries: Queries) -> NDArray[np.float32]:
        """(n, n_items) products of the learnt factors, the last of which is the item's bias."""
        learnt = self.state()
        users = learnt["user_factors"][queries.users.clip(min=0)]
        scores: NDArray[np.float32] = users @ learnt["item_factors"].T
        scores[queries.users < 0] = np.nan
        return scores

    def _new_learner(self) -> Any:
        try:
            from implicit.cpu.bpr import BayesianPersonalizedRanking
        except ImportError as missing:
            raise ImportError("model 'bpr' needs implicit: pip install 'bakeoff[train]'") from missing
        return BayesianPersonalizedRanking(
            factors=self.factors,
            learning_rate=self.learning_rate,
            regularization=self.regularization,
            iterations=self.iterations,
            num_threads=1,
            random_state=self.seed,
        )


def _nan_where(rows: NDArray[np.bool_], factors: NDArray[np.float32]) -> NDArray[np.float32]:
    """A copy of the factors with NaN rows: a product with one is NaN."""
    return np.where(rows[:, None], np.float32(np.nan), factors)

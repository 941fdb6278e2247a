"""Held-out likes: what early stopping is judged by."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys.data.dataset import Dataset
from recsys.data.queries import Queries
from recsys.models.base import Recommender, likes

_USERS = 1_000
"""How many users' last likes: enough for a stable mean, a second or so to score."""


@dataclass(frozen=True, kw_only=True, eq=False)
class HeldOut:
    """The last likes of some users, for early stopping.

    rest: the data set without them; queries: those users, with the histories that are left; items (n,): what each of
    them liked last; weights (n,): what that like weighed.
    """

    rest: Dataset
    queries: Queries
    items: NDArray[np.int32]
    weights: NDArray[np.float32]

    @classmethod
    def of(cls, dataset: Dataset, seed: int) -> Self | None:
        """Held out from the users with two likes or more; None when there is none."""
        rows = dataset.interactions
        liked = likes(rows.csr(), "binary")
        several = np.flatnonzero(np.diff(liked.indptr) >= 2)
        if len(several) == 0:
            return None
        users = np.sort(np.random.default_rng(seed).permutation(several)[:_USERS])
        last = _last_liked(dataset, liked)[users]
        target = np.full(len(dataset.users), -1, np.int32)
        target[users] = rows.item[last]
        rest = dataset.keep(rows.where(rows.item != target[rows.user]))
        queries = Queries.of(rest.interactions, users)
        return cls(rest=rest, queries=queries, items=rows.item[last], weights=rows.weight[last])

    def value(self, model: Recommender, block: int = 256) -> float:
        """The mean of 1 / log2(1 + rank) of the held-out item among the unseen ones; 0 where it has no score."""
        gains = np.zeros(len(self.items))
        for start in range(0, len(self.items), block):
            part = self.queries.block(start, start + block)
            scores = np.array(model.score(part))
            target = self.items[start : start + block]
            own = scores[np.arange(len(target)), target]
            scores[np.repeat(np.arange(len(part)), np.diff(part.indptr)), part.items] = np.nan
            # half of the ties stand before it: a model of equal scores is not first everywhere
            rank = 1 + (scores > own[:, None]).sum(axis=1) + ((scores == own[:, None]).sum(axis=1) - 1) / 2
            gains[start : start + block] = np.where(np.isnan(own), 0, 1 / np.log2(1 + rank))
        return float(gains.mean())

    def squared_error(self, model: Recommender, block: int = 256) -> float:
        """The mean of (weight - score)^2 over the items that have a score, for models whose scores are ratings."""
        errors = self.weights.astype(np.float64)
        for start in range(0, len(self.items), block):
            rows = slice(start, start + block)
            scores = model.score(self.queries.block(rows.start, rows.stop))
            errors[rows] -= scores[np.arange(len(scores)), self.items[rows]]
        scored = errors[~np.isnan(errors)]
        return float((scored**2).mean()) if len(scored) else float("nan")


def _last_liked(dataset: Dataset, liked: csr_matrix) -> NDArray[np.int64]:
    """(n_users,) the place of each user's latest row of weight > 0 whose summed weight is positive too, -1 for none."""
    rows = dataset.interactions
    cells = np.repeat(np.arange(liked.shape[0]), np.diff(liked.indptr)) * liked.shape[1] + liked.indices
    own = rows.user.astype(np.int64) * rows.n_items + rows.item
    places = np.flatnonzero(np.isin(own, cells) & (rows.weight > 0))
    last = np.full(rows.n_users, -1, np.int64)
    last[rows.user[places]] = places  # rows are sorted by time: the latest one stays
    return last

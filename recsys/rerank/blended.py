"""Rerankers that weigh how relevant an item is against what they want of the list."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from recsys.data.recommendations import Recommendations
from recsys.models.base import check_choice, check_real
from recsys.rerank.base import Reranker

Scale = Literal["score", "rank"]
"""Relevance from the scores, scaled within each list to 0..1, or from the rank alone."""


@dataclass
class Blended(Reranker):
    """strength: 0 leaves the first k as they are, 1 asks only for what the reranker wants; relevance: see `relevance`.

    With `score` a list whose best items stand far above the others resists; `rank` moves all lists alike.
    """

    strength: float = 0.3
    relevance: Scale = "score"

    def __post_init__(self) -> None:
        check_real(f"strength of reranker {self.name!r}", self.strength, least=0, most=1)
        check_choice(f"relevance of reranker {self.name!r}", self.relevance, Scale)


def relevance(recommendations: Recommendations, scale: Scale) -> NDArray[np.float64]:
    """(n, k) how relevant each place of the lists is, 1 for the best; NaN where padded.

    score: (score - least) / (greatest - least) of the list, 1 where all are equal; rank: 1 / log2(rank + 1), nDCG's
    discount. A list with items of the fallback, which have no score, is always taken by rank.
    """
    items, scores = recommendations.items, recommendations.scores.astype(np.float64)
    by_rank = np.broadcast_to(1 / np.log2(np.arange(items.shape[1]) + 2), items.shape)
    if scale == "rank" or items.size == 0:
        return np.where(items >= 0, by_rank, np.nan)
    greatest = np.fmax.reduce(scores, axis=1, keepdims=True)
    width = greatest - np.fmin.reduce(scores, axis=1, keepdims=True)
    below = np.divide(greatest - scores, width, out=np.zeros_like(scores), where=width > 0)
    return np.where(items >= 0, np.where(recommendations.fallback[:, None], by_rank, 1 - below), np.nan)


def best_places(values: NDArray[np.float64], k: int) -> NDArray[np.int64]:
    """(n, at most k) the places of the highest values, ties in the order given; -1 for NaN."""
    order = np.argsort(-values, axis=1, kind="stable")[:, :k]  # NaN last
    return np.where(np.isnan(np.take_along_axis(values, order, axis=1)), -1, order)

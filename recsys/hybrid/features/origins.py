"""What the candidate sources said of an item: places, scores, and how many of them agree."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from recsys.hybrid.features.base import Floats, Group, Past, Rows, columns, texts
from recsys.models.base import State


class Origins(Group):
    """Rank, score and score within the query of each source, and what all sources say together."""

    name: ClassVar[str] = "origins"

    def _fit(self, past: Past) -> State:
        return {"origins": texts(past.origins)}

    def describe(self) -> dict[str, str]:
        """Three features a source, and four of all."""
        found = {}
        for origin in self.learnt["origins"].tolist():
            found[f"rank_{origin}"] = f"place in the list of {origin}, 1 the best"
            found[f"score_{origin}"] = f"score by {origin}, in its own unit"
            found[f"scaled_{origin}"] = f"score by {origin}, from 0 to 1 between the query's worst and best candidate"
        return found | {
            "origins_agree": "how many sources named the item",
            "origins_best": "the best place that any source gave",
            "origins_fused": "sum over the sources of 1 / (60 + place)",
            "origins_scaled": "mean over the sources of the scaled score, 0 where the item was not named",
        }

    def compute(self, rows: Rows) -> Floats:
        """(c, 3 n_origins + 4)."""
        candidates = rows.candidates
        if candidates.origins != tuple(self.learnt["origins"].tolist()):
            raise ValueError(
                f"the features are of the sources {', '.join(self.learnt['origins'].tolist())}, the candidates come "
                f"from {', '.join(candidates.origins)}; fit both together"
            )
        named = ~np.isnan(candidates.ranks)
        scaled = _scaled(candidates.scores, candidates.indptr, rows.query)
        parts = [part for own in zip(candidates.ranks.T, candidates.scores.T, scaled.T, strict=True) for part in own]
        best = np.fmin.reduce(candidates.ranks, axis=1)
        return columns(*parts, named.sum(axis=1), best, candidates.fused, np.nan_to_num(scaled).mean(axis=1))


def _scaled(scores: Floats, indptr: NDArray[np.int64], query: NDArray[np.int64]) -> Floats:
    """Each column from 0 to 1 within each query; 1 where all are equal, NaN stays."""
    full = np.flatnonzero(np.diff(indptr) > 0)
    if len(full) == 0:
        return scores
    low = np.full((len(indptr) - 1, scores.shape[1]), np.nan, np.float32)
    high = low.copy()
    low[full] = np.fmin.reduceat(scores, indptr[full], axis=0)
    high[full] = np.fmax.reduceat(scores, indptr[full], axis=0)
    width = (high - low)[query]
    flat = np.where(np.isnan(scores), np.float32(np.nan), np.float32(1.0))
    return np.asarray(np.divide(scores - low[query], width, out=flat, where=width > 0), np.float32)

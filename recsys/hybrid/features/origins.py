"""What the candidate sources said of an item: places, scores, and how many of them agree."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from recsys.compiled import compiled
from recsys.hybrid.features.base import Floats, Group, Past, Rows, texts
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
        found: Floats = compiled(_described)(candidates.indptr, candidates.ranks, candidates.scores, candidates.fused)
        return found


def _described(
    indptr: NDArray[np.int64], ranks: Floats, scores: Floats, fused: NDArray[np.float32]
) -> NDArray[np.float32]:
    """(c, 3 n_origins + 4); the scores are scaled within each query, 1 where all are equal, NaN stays."""
    n_origins = ranks.shape[1]
    found = np.full((len(ranks), 3 * n_origins + 4), np.nan, np.float32)
    low, high = np.empty(n_origins, np.float32), np.empty(n_origins, np.float32)
    for query in range(len(indptr) - 1):
        low[:], high[:] = np.inf, -np.inf
        for pair in range(indptr[query], indptr[query + 1]):
            for origin in range(n_origins):
                if not np.isnan(scores[pair, origin]):
                    low[origin] = min(low[origin], scores[pair, origin])
                    high[origin] = max(high[origin], scores[pair, origin])
        for pair in range(indptr[query], indptr[query + 1]):
            agree, best, total = 0, np.float32(np.nan), 0.0
            for origin in range(n_origins):
                rank, score = ranks[pair, origin], scores[pair, origin]
                found[pair, 3 * origin], found[pair, 3 * origin + 1] = rank, score
                if not np.isnan(score):
                    width = high[origin] - low[origin]
                    scaled = (score - low[origin]) / width if width > 0 else np.float32(1.0)
                    found[pair, 3 * origin + 2] = scaled
                    total += float(scaled)
                if not np.isnan(rank):
                    agree += 1
                    best = rank if np.isnan(best) else min(best, rank)
            end = 3 * n_origins
            found[pair, end], found[pair, end + 1], found[pair, end + 2] = agree, best, fused[pair]
            found[pair, end + 3] = total / n_origins
    return found

"""Maximal marginal relevance: each place to the item that is relevant and unlike those above it."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from recsys.compiled import compiled
from recsys.data.recommendations import Recommendations
from recsys.rerank.blended import relevance
from recsys.rerank.diversity import Diversifier


@dataclass
class MMR(Diversifier):
    """Place by place the item with the highest (1 - strength) * relevance - strength * max cosine to those chosen.

    The first place is by relevance alone; ties go to the earlier place. A list of m candidates takes k m d
    multiplications.
    """

    name: ClassVar[str] = "mmr"
    source: ClassVar[str] = "Carbonell & Goldstein 1998"

    def _choose(self, recommendations: Recommendations, k: int) -> NDArray[np.integer]:
        vectors = self.state()["vectors"]
        relevant = relevance(recommendations, self.relevance)
        places: NDArray[np.int32] = compiled(_greedy)(recommendations.items, relevant, vectors, self.strength, k)
        return places


def _greedy(
    items: NDArray[np.int32],
    relevant: NDArray[np.float64],
    vectors: NDArray[np.float32],
    strength: float,
    k: int,
) -> NDArray[np.int32]:
    n, m = items.shape
    places = np.full((n, min(k, m)), -1, np.int32)
    for row in range(n):
        open_ = items[row] >= 0
        likest = np.zeros(m)
        for step in range(min(k, m)):
            best, highest = -1, -np.inf
            for place in range(m):
                if open_[place]:
                    value = (1 - strength) * relevant[row, place] - strength * likest[place]
                    if value > highest:
                        best, highest = place, value
            if best < 0:
                break
            places[row, step] = best
            open_[best] = False
            for place in range(m):
                if open_[place]:
                    cosine = 0.0
                    for d in range(vectors.shape[1]):
                        cosine += vectors[items[row, place], d] * vectors[items[row, best], d]
                    likest[place] = cosine if step == 0 else max(likest[place], cosine)
    return places

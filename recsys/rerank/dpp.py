"""Determinantal point process: the list whose items together span the most, each weighed by its relevance."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from recsys.compiled import compiled
from recsys.data.recommendations import Recommendations
from recsys.models.base import check_real
from recsys.rerank.blended import relevance
from recsys.rerank.diversity import Diversifier


@dataclass
class DPP(Diversifier):
    """The greedy maximum of (1 - strength) * sum of relevance + strength * log det S over the items of the list.

    S = (1 - ridge) * cosines + ridge on the diagonal, 1 there: `ridge` keeps a second item of the same vector possible,
    at the price of log ridge. Found by the updates of Chen, Zhang & Zhou (2018), whose theta is 1 - strength, in
    k m (k + d) multiplications for a list of m candidates; ties go to the earlier place.
    """

    name: ClassVar[str] = "dpp"
    source: ClassVar[str] = "Kulesza & Taskar 2012; Chen, Zhang & Zhou 2018"

    ridge: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        check_real("ridge of reranker 'dpp'", self.ridge, least=0, most=1, above=True)

    def _choose(self, recommendations: Recommendations, k: int) -> NDArray[np.integer]:
        vectors = self.state()["vectors"]
        relevant = relevance(recommendations, self.relevance)
        places: NDArray[np.int32] = compiled(_greedy)(
            recommendations.items, relevant, vectors, self.strength, self.ridge, k
        )
        return places


def _greedy(
    items: NDArray[np.int32],
    relevant: NDArray[np.float64],
    vectors: NDArray[np.float32],
    strength: float,
    ridge: float,
    k: int,
) -> NDArray[np.int32]:
    n, m = items.shape
    places = np.full((n, min(k, m)), -1, np.int32)
    for row in range(n):
        open_ = items[row] >= 0
        left = np.ones(m)  # d_i^2: what an item adds to the determinant, given those chosen
        rows_of_cholesky = np.zeros((m, min(k, m)))
        for step in range(min(k, m)):
            best, highest = -1, -np.inf
            for place in range(m):
                if open_[place]:
                    value = (1 - strength) * relevant[row, place] + strength * np.log(left[place])
                    if value > highest:
                        best, highest = place, value
            if best < 0:
                break
            places[row, step] = best
            open_[best] = False
            for place in range(m):
                if open_[place]:
                    entry = 0.0
                    for d in range(vectors.shape[1]):
                        entry += vectors[items[row, place], d] * vectors[items[row, best], d]
                    entry *= 1 - ridge
                    for earlier in range(step):
                        entry -= rows_of_cholesky[place, earlier] * rows_of_cholesky[best, earlier]
                    entry /= np.sqrt(left[best])
                    rows_of_cholesky[place, step] = entry
                    # float32 cosines may pass 1 by rounding: what is left can never be below zero
                    left[place] = max(left[place] - entry * entry, 1e-12)
    return places

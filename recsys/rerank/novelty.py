"""Novelty: what few people know gets a lift."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.data.recommendations import Recommendations
from recsys.rerank.base import Measures, State
from recsys.rerank.blended import Blended, best_places, relevance


@dataclass
class Novelty(Blended):
    """Order by (1 - strength) * relevance + strength * bits / most bits.

    bits: the item's self-information -log2((its users + 1) / (active users + 1)) in the data set, the same that the
    metric `novelty` averages; the most are those of an item that nobody touched.
    """

    name: ClassVar[str] = "novelty"
    source: ClassVar[str] = "Zhou et al. 2010; Vargas & Castells 2011"
    arrays: ClassVar[Mapping[str, tuple[str, ...]]] = {"bits": ("n_items",), "most": ("one",)}

    def _fit(self, dataset: Dataset) -> State:
        active = len(np.unique(dataset.interactions.user))
        bits = -np.log2((dataset.interactions.item_users + 1) / (active + 1))
        return {"bits": bits, "most": np.array([max(np.log2(active + 1), 1.0)])}

    def _choose(self, recommendations: Recommendations, k: int) -> NDArray[np.integer]:
        bits, most = self.state()["bits"], self.state()["most"][0]
        relevant = relevance(recommendations, self.relevance)
        return best_places((1 - self.strength) * relevant + self.strength * bits[recommendations.items] / most, k)

    def measures(self, recommendations: Recommendations) -> Measures:
        """Mean bits of the items of each list."""
        listed = recommendations.items >= 0
        bits = np.where(listed, self.state()["bits"][recommendations.items], 0.0).sum(axis=1)
        size = listed.sum(axis=1)
        return {"novelty": np.divide(bits, size, out=np.full(len(size), np.nan), where=size > 0)}

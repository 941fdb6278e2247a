"""GF-CF: what the neighbours of a history on the graph of items are, plus its smooth part. A closed form."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys.models.base import Family, check_real
from recsys.models.spectral import GraphFilter


@dataclass
class GFCF(GraphFilter):
    """scores = history (P + alpha * ideal): a linear low-pass filter and an ideal one (`GraphFilter`).

    Shen et al. 2021, "How Powerful is Graph Convolution for Recommendation?". A score costs at most two times the
    number of likes plus n_items * factors.
    """

    name: ClassVar[str] = "gfcf"
    family: ClassVar[Family] = "spectral"
    source: ClassVar[str] = "Shen et al. 2021"

    alpha: float = 0.3

    def __post_init__(self) -> None:
        super().__post_init__()
        check_real("alpha", self.alpha, least=0)

    def _filter(self, histories: csr_matrix) -> NDArray[np.float32]:
        graph = self._graph()
        scores: NDArray[np.float32] = self.alpha * self._smooth(histories)
        scores += (histories @ graph.T) @ graph
        return scores

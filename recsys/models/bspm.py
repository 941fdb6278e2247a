"""BSPM: a history is blurred along the graph of items, then sharpened by running the heat equation backwards."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys.models.base import Family, check_real, check_whole
from recsys.models.spectral import GraphFilter


@dataclass
class BSPM(GraphFilter):
    """Blurred: y = history (P + ideal * ideal filter). Sharpened: dy/dt = -y P over `time`, by `steps` of RK4.

    Choi et al. 2023, "Blurring-Sharpening Process Models for Collaborative Filtering", the variant EM (early merge):
    one Euler step of length 1 blurs, the ideal low-pass filter joins before sharpening. The equation is linear, so a
    step of RK4 is the polynomial 1 - h P + (h P)^2 / 2 - (h P)^3 / 6 + (h P)^4 / 24, taken here by Horner's rule.
    time 0 is GF-CF. A score costs 1 + 4 * steps times two products with the likes, plus n_items * factors.
    """

    name: ClassVar[str] = "bspm"
    family: ClassVar[Family] = "spectral"
    source: ClassVar[str] = "Choi et al. 2023"

    ideal: float = 0.2
    time: float = 2.5
    steps: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_real("ideal", self.ideal, least=0)
        check_real("time", self.time, least=0)
        check_whole("steps", self.steps, 1)

    def _filter(self, histories: csr_matrix) -> NDArray[np.float32]:
        graph = self._graph()
        back = graph.T.tocsr()
        # one column a query: a product then runs along contiguous memory
        signal: NDArray[np.float32] = back @ (graph @ histories.T.toarray())
        signal += np.float32(self.ideal) * self._smooth(histories).T
        step = np.float32(self.time / self.steps)
        for _ in range(self.steps):
            start = signal
            for order in (4, 3, 2, 1):
                signal = start - step / np.float32(order) * (back @ (graph @ signal))
        return signal.T

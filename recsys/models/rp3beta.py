"""RP3beta: where a random walk user -> item -> user -> item ends, with popular ends held back."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys.data.dataset import Dataset
from recsys.models.base import Family, Watch, check_choice, check_real, check_whole, training_likes
from recsys.models.sparse import ItemToItem, nearest, rows_of, sums, with_data

Side = Literal["scored", "history"]


@dataclass
class RP3Beta(ItemToItem):
    """weights[i, j] = sum over users u of p(u | i)^alpha * p(j | u)^alpha, divided by popularity(j)^beta.

    Paudel, Christoffel, Newell & Bernstein 2017 (beta = 0: P3alpha, Cooper et al. 2014). p(u | i) is u's share of the
    weight on item i, p(j | u) the share of j in the weight of user u, popularity(j) the weight on j.

    neighbours: how many weights are kept; side: `scored`, each scored item keeps those it gets most from; `history`,
    each item of a history keeps those it gives most to. An item gives nothing to itself.

    Fitting takes a product per pair of likes of a user, and the memory of the kept weights plus one block.
    """

    name: ClassVar[str] = "rp3beta"
    family: ClassVar[Family] = "neighbourhood"
    source: ClassVar[str] = "Paudel et al. 2017"
    needs: ClassVar[tuple[str, ...]] = ("train",)

    neighbours: int = 400
    alpha: float = 0.75
    beta: float = 0.25
    side: Side = "history"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("neighbours", self.neighbours, 1)
        check_real("alpha", self.alpha, least=0)
        check_real("beta", self.beta, least=0)
        check_choice("side", self.side, Side)

    def _fit(self, dataset: Dataset, watch: Watch | None) -> None:
        users = training_likes(dataset, self.weighting)
        popularity = sums(users, axis=0)
        given = _shares(users, self.alpha)
        taken = _shares(users.T.tocsr(), self.alpha)
        with np.errstate(divide="ignore"):  # an item that nobody likes has no cell
            damping = np.where(popularity > 0, popularity**-self.beta, 0).astype(np.float32)

        def damp_columns(rows: NDArray[np.int64], products: csr_matrix) -> None:
            products.data *= damping[products.indices]

        def damp_rows(rows: NDArray[np.int64], products: csr_matrix) -> None:
            products.data *= damping[rows][rows_of(products)]

        if self.side == "history":
            weights = nearest(taken, given, self.neighbours, damp_columns)
        else:  # the rows of the transpose are the scored items
            weights = nearest(given.T.tocsr(), taken.T.tocsr(), self.neighbours, damp_rows).T.tocsr()
        self._keep(weights)


def _shares(matrix: csr_matrix, alpha: float) -> csr_matrix:
    """Each cell's share of its row, to the power alpha."""
    return with_data(matrix, (matrix.data / sums(matrix, axis=1)[rows_of(matrix)]) ** alpha)

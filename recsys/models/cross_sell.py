"""Cross-sell: what is bought together with what, as directed rules between items of a basket."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys.data.dataset import Dataset
from recsys.data.queries import Queries
from recsys.data.sessions import session_numbers
from recsys.models.base import Family, Watch, check_choice, check_real, check_whole, likes, query_likes, training_likes
from recsys.models.sparse import ItemToItem, nearest, rows_of, sums

Measure = Literal["confidence", "lift"]

_HOUR = 3_600


@dataclass
class CrossSell(ItemToItem):
    """weights[i, j] = how much a basket with i speaks for j, by the baskets that hold both.

    Association rules between single items (Agrawal, Imielinski & Swami 1993). measure: `confidence`, the share of the
    baskets with i that also hold j: both / (n_i + shrink), which prefers what sells anyway; `lift`, that share over
    the share of all baskets that hold j: both * n_baskets / ((n_i + shrink) n_j), which prefers what belongs together.
    Pairs in fewer than min_baskets baskets are no rule; each item keeps its `neighbours` best rules.

    pause_hours: a basket is what a user touched without a longer pause (0: within the same second, as an invoice). The
    query's latest `window` likes are the basket to add to, each counting decay ** age.

    Fitting takes a product per pair of items in a basket; memory: the kept rules plus one block.
    """

    name: ClassVar[str] = "cross_sell"
    family: ClassVar[Family] = "neighbourhood"
    source: ClassVar[str] = "Agrawal, Imielinski & Swami 1993"
    needs: ClassVar[tuple[str, ...]] = ("train",)

    neighbours: int = 100
    measure: Measure = "confidence"
    pause_hours: float = 0.5
    min_baskets: int = 2
    shrink: float = 0.0
    window: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("neighbours", self.neighbours, 1)
        check_choice("measure", self.measure, Measure)
        check_real("pause_hours", self.pause_hours, least=0)
        check_whole("min_baskets", self.min_baskets, 1)
        check_real("shrink", self.shrink, least=0)
        check_whole("window", self.window, 1)

    def _fit(self, dataset: Dataset, watch: Watch | None) -> None:
        training_likes(dataset, self.weighting)  # refuses data in which nobody likes anything
        baskets = self._baskets(dataset)
        n_baskets = baskets.shape[0]
        held_in = sums(baskets, axis=0)

        def measure(items: NDArray[np.int64], both: csr_matrix) -> None:
            both.data[both.data < self.min_baskets] = np.nan
            both.data /= held_in[items][rows_of(both)] + np.float32(self.shrink)
            if self.measure == "lift":
                both.data *= n_baskets / held_in[both.indices]

        self._keep(nearest(baskets.T.tocsr(), baskets, self.neighbours, measure))

    def _baskets(self, dataset: Dataset) -> csr_matrix:
        """(n_baskets, n_items) 1 where the basket holds the item."""
        rows = dataset.interactions
        numbers = session_numbers(rows, self.pause_hours * _HOUR)
        matrix = csr_matrix((rows.weight, (numbers, rows.item)), shape=(int(numbers.max()) + 1, rows.n_items))
        matrix.sum_duplicates()
        return likes(matrix, "binary")

    def _histories(self, queries: Queries, n_items: int) -> csr_matrix:
        return query_likes(queries, n_items, self.weighting, decay=self.decay, window=self.window)

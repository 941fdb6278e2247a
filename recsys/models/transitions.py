"""Transitions: what people went on to after the last few things they touched. A Markov chain with a short memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys.data.dataset import Dataset
from recsys.data.interactions import Interactions
from recsys.data.queries import Queries
from recsys.models.base import Family, Watch, check_real, check_whole, query_likes, training_likes
from recsys.models.sparse import ItemToItem, rows_of, sums


@dataclass
class Transitions(ItemToItem):
    """weights[i, j] = how often j came after i, over (all that came after i)^alpha and (all that led to j)^beta.

    A j that came n rows after i, n up to `window`, counts decay ** (n - 1); so do the query's latest `window` likes,
    by their age. A first-order chain smoothed by skips (Shani, Heckerman & Brafman 2005). A repeated row is one row,
    and only rows of weight > 0 count. For data in which order means something: without times it follows item numbers.

    Fitting and memory: `window` pairs for each row.
    """

    name: ClassVar[str] = "transitions"
    family: ClassVar[Family] = "sequence"
    source: ClassVar[str] = "Shani, Heckerman & Brafman 2005"

    decay: float = 0.6
    window: int = 3
    alpha: float = 1.0
    beta: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("window", self.window, 1)
        check_real("alpha", self.alpha, least=0)
        check_real("beta", self.beta, least=0)

    def _fit(self, dataset: Dataset, watch: Watch | None) -> None:
        n_items = training_likes(dataset, self.weighting).shape[1]
        pairs = self._pairs(dataset.interactions)
        before, after, counts = (np.concatenate(part) for part in zip(*pairs, strict=True))
        matrix = csr_matrix((counts, (before, after)), shape=(n_items, n_items))
        matrix.sum_duplicates()
        out, into = sums(matrix, axis=1)[rows_of(matrix)], sums(matrix, axis=0)[matrix.indices]
        matrix.data /= out**self.alpha * into**self.beta
        self._keep(matrix)

    def _pairs(self, rows: Interactions) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]]:
        """(item before, item after, what the pair counts), for each distance."""
        order, _ = rows.by_user
        order = order[rows.weight[order] > 0]
        user, item, weight = rows.user[order], rows.item[order], rows.weight[order]
        repeats = np.zeros(len(order), dtype=bool)
        repeats[1:] = (user[1:] == user[:-1]) & (item[1:] == item[:-1])
        user, item, weight = user[~repeats], item[~repeats], weight[~repeats]
        for distance in range(1, self.window + 1):
            before, after = item[:-distance], item[distance:]
            pair = (user[:-distance] == user[distance:]) & (before != after)
            counts = np.ones(len(after), np.float32) if self.weighting == "binary" else weight[distance:]
            yield before[pair], after[pair], counts[pair] * np.float32(self.decay ** (distance - 1))

    def _histories(self, queries: Queries, n_items: int) -> csr_matrix:
        return query_likes(queries, n_items, self.weighting, decay=self.decay, window=self.window)

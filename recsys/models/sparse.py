"""Item-to-item models: a sparse matrix of weights from the items of a history to the items that are scored."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys.compiled import compiled
from recsys.data.queries import Queries
from recsys.models.base import Recommender, Weighting, check_choice, check_real, query_likes

Rescale = Callable[[NDArray[np.int64], csr_matrix], None]
"""Turns the products of a block, (rows (m,), (m, n_columns)), into what is compared; writes into the block's data."""

TINY = np.finfo(np.float32).tiny
"""Under a division whose result is not used when the divisor is 0."""
_BLOCK_CELLS = 1 << 24
"""How many products are held before they are cut to the nearest: 64 MiB of float32, whatever the catalogue."""


@dataclass
class ItemToItem(Recommender):
    """score(user, item) = sum over the history of like * weights[history item, item].

    A subclass learns the (n_items, n_items) weights. A like counts decay ** age when there is a decay below 1: see
    `query_likes`. An item that nothing in the history points to is NaN, not 0: the model has nothing to say about it,
    and a list of such ties would be a list of low item numbers. `recommend` fills those places from the fallback.

    Cost of a score: the cells of the rows of the history's items, whatever the number of users.
    """

    arrays: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "indptr": ("n_items + 1",),
        "indices": ("n_weights",),
        "weights": ("n_weights",),
    }

    weighting: Weighting = "binary"
    decay: float = 1.0

    def __post_init__(self) -> None:
        check_choice("weighting", self.weighting, Weighting)
        check_real("decay", self.decay, least=0, most=1, above=True)

    def score(self, queries: Queries) -> NDArray[np.float32]:
        """(n, n_items) sums of the weights from the history; NaN for an item that no item of it points to."""
        learnt = self.state()
        n_items = len(learnt["indptr"]) - 1
        histories = self._histories(queries, n_items)
        scores: NDArray[np.float32] = compiled(_pointed)(
            *(histories.indptr, histories.indices, histories.data.astype(np.float32, copy=False)),
            *(learnt["indptr"], learnt["indices"], learnt["weights"]),
        )
        return scores

    def _histories(self, queries: Queries, n_items: int) -> csr_matrix:
        return query_likes(queries, n_items, self.weighting, decay=self.decay)

    def _keep(self, weights: csr_matrix) -> None:
        """What `_fit` ends with."""
        weights.sort_indices()  # sums are then taken in one order, whatever way the matrix was made
        self._learnt = {
            "indptr": weights.indptr,
            "indices": weights.indices,
            "weights": weights.data.astype(np.float32, copy=False),
        }


def _pointed(
    indptr: NDArray[np.integer],
    likes: NDArray[np.integer],
    like: NDArray[np.float32],
    weights_indptr: NDArray[np.integer],
    columns: NDArray[np.integer],
    weights: NDArray[np.float32],
) -> NDArray[np.float32]:
    """(n, n_items) the sums over the likes of each row of their rows of weights; NaN where nothing, or 0, comes."""
    n_items = len(weights_indptr) - 1
    scores = np.full((len(indptr) - 1, n_items), np.nan, np.float32)
    for row in range(len(indptr) - 1):
        of = scores[row]
        for place in range(indptr[row], indptr[row + 1]):
            item = likes[place]
            for cell in range(weights_indptr[item], weights_indptr[item + 1]):
                column, value = columns[cell], like[place] * weights[cell]
                of[column] = value if np.isnan(of[column]) else of[column] + value
        for place in range(indptr[row], indptr[row + 1]):
            item = likes[place]
            for cell in range(weights_indptr[item], weights_indptr[item + 1]):
                if of[columns[cell]] == 0:
                    of[columns[cell]] = np.nan
    return scores


def nearest(
    left: csr_matrix,
    right: csr_matrix,
    k: int,
    rescale: Rescale | None = None,
    *,
    own: NDArray[np.integer] | None = None,
) -> csr_matrix:
    """The k largest positive entries of each row of left @ right, after `rescale`; ties by number.

    own: (n_rows,) a column that the row may not choose, -1 for none (default: the row's own number). The product is
    made in blocks of rows that bound the memory. rescale may set an entry to NaN: it is left out.
    """
    own = np.arange(left.shape[0]) if own is None else own
    choose = compiled(_choose)
    parts = [(np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0, np.float32))]
    for rows, block in _products(left, right):
        if rescale is not None:
            rescale(rows, block)
        parts.append(choose(rows, own[rows].astype(np.int64), block.indptr, block.indices, block.data, k))
    row, column, value = (np.concatenate(part) for part in zip(*parts, strict=True))
    return csr_matrix((value, (row, column)), shape=(left.shape[0], right.shape[1]))


def cosines(left: NDArray[np.float32], right: NDArray[np.float32], shrink: float = 0.0) -> Rescale:
    """From products of rows and columns of these lengths to product / (length * length + shrink)."""

    def divide(rows: NDArray[np.int64], products: csr_matrix) -> None:
        compiled(_divide)(rows, products.indptr, products.indices, products.data, left, right, np.float32(shrink))

    return divide


def _divide(
    rows: NDArray[np.int64],
    indptr: NDArray[np.int32],
    columns: NDArray[np.int32],
    products: NDArray[np.float32],
    left: NDArray[np.float32],
    right: NDArray[np.float32],
    shrink: np.float32,
) -> None:
    for place in range(len(rows)):
        for cell in range(indptr[place], indptr[place + 1]):
            products[cell] /= max(left[rows[place]] * right[columns[cell]] + shrink, TINY)


def with_data(matrix: csr_matrix, data: NDArray[np.floating]) -> csr_matrix:
    """The cells of the matrix with other values, as float32."""
    return csr_matrix((data.astype(np.float32), matrix.indices, matrix.indptr), shape=matrix.shape)


def sums(matrix: csr_matrix, axis: int) -> NDArray[np.float32]:
    """The sums along an axis, as a vector."""
    return np.asarray(matrix.sum(axis=axis), dtype=np.float32).ravel()


def rows_of(matrix: csr_matrix) -> NDArray[np.int64]:
    """The row of each cell."""
    return np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))


def _products(left: csr_matrix, right: csr_matrix) -> Iterator[tuple[NDArray[np.int64], csr_matrix]]:
    """left @ right in blocks of rows, with their numbers, those with the most possible products first.

    A block holds at most _BLOCK_CELLS of them, and is written over by the next: memory that is asked for again and
    again costs as much as the products.
    """
    reached = left.astype(bool).astype(np.int64) @ np.diff(right.indptr)
    most = reached.clip(1, right.shape[1])
    order = np.argsort(-most, kind="stable")
    room = min(int(most.sum()), max(_BLOCK_CELLS, int(most.max(initial=0))))
    columns, values = np.empty(room, np.int32), np.empty(room, np.result_type(left.data, right.data))
    total, met = np.zeros(right.shape[1], values.dtype), np.full(right.shape[1], -1)
    start = 0
    while start < len(order):
        stop = start + max(1, _BLOCK_CELLS // int(most[order[start]]))
        rows = order[start:stop]
        indptr = compiled(_multiply)(
            rows,
            *(left.indptr, left.indices, left.data),
            *(right.indptr, right.indices, right.data),
            *(columns, values, total, met),
        )
        n = indptr[-1]
        yield rows, csr_matrix((values[:n], columns[:n], indptr), shape=(len(rows), right.shape[1]))
        start = stop


def _multiply(
    rows: NDArray[np.int64],
    left_indptr: NDArray[np.int32],
    left_columns: NDArray[np.int32],
    left_values: NDArray[np.floating],
    right_indptr: NDArray[np.int32],
    right_columns: NDArray[np.int32],
    right_values: NDArray[np.floating],
    columns: NDArray[np.int32],
    values: NDArray[np.floating],
    total: NDArray[np.floating],
    met: NDArray[np.int64],
) -> NDArray[np.int32]:
    """Rows of a product into `columns` and `values` (Gustavson 1978); their ends. total, met: a place per column."""
    indptr = np.zeros(len(rows) + 1, np.int32)
    n = 0
    for place in range(len(rows)):
        row = rows[place]
        for cell in range(left_indptr[row], left_indptr[row + 1]):
            weight, other = left_values[cell], left_columns[cell]
            for reached in range(right_indptr[other], right_indptr[other + 1]):
                column = right_columns[reached]
                if met[column] != row:
                    met[column] = row
                    total[column] = 0
                    columns[n] = column
                    n += 1
                total[column] += weight * right_values[reached]
        for cell in range(indptr[place], n):
            values[cell] = total[columns[cell]]
        indptr[place + 1] = n
    return indptr


def _choose(
    rows: NDArray[np.int64],
    own: NDArray[np.int64],
    indptr: NDArray[np.int32],
    columns: NDArray[np.int32],
    values: NDArray[np.float32],
    k: int,
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
    """(row, column, value) of the k largest positive entries of each row of a block; its columns come in any order."""
    most = widest = 0
    for place in range(len(rows)):
        size = indptr[place + 1] - indptr[place]
        most += min(k, size)
        widest = max(widest, size)
    found_rows, found_columns = np.empty(most, np.int64), np.empty(most, np.int32)
    found_values = np.empty(most, np.float32)
    column, value = np.empty(widest, np.int32), np.empty(widest, np.float32)  # of one row, what may be chosen
    n = 0
    for place in range(len(rows)):
        size = 0
        # backwards: what was met first is often the largest, the order that partition likes least
        for cell in range(indptr[place + 1] - 1, indptr[place] - 1, -1):
            if values[cell] > 0 and columns[cell] != own[place]:  # false for NaN
                column[size], value[size] = columns[cell], values[cell]
                size += 1
        least, last = np.float32(0), np.int32(0)  # the smallest value that is in, and of its columns the largest
        if size > k:
            least = np.partition(value[:size], size - k)[size - k]
            last = np.sort(column[:size][value[:size] == least])[k - np.sum(value[:size] > least) - 1]
        for cell in range(size):
            if value[cell] > least or (value[cell] == least and column[cell] <= last):
                found_rows[n], found_columns[n], found_values[n] = rows[place], column[cell], value[cell]
                n += 1
    return found_rows[:n], found_columns[:n], found_values[:n]

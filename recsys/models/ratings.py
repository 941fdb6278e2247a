"""Explicit ratings: what each user rated each item last. A weight is a rating, and only a weight > 0 is one."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys.data.dataset import Dataset
from recsys.data.queries import Queries
from recsys.models.base import check_items, training_likes


def training_ratings(dataset: Dataset) -> csr_matrix:
    """The (n_users, n_items) latest ratings of a data set, at least one."""
    training_likes(dataset, "binary")  # refuses data without a weight > 0
    rows = dataset.interactions
    return _latest(rows.user, rows.item, rows.weight, (rows.n_users, rows.n_items))


def query_ratings(queries: Queries, n_items: int) -> csr_matrix:
    """The (n, n_items) latest ratings in the histories, which must number the items the model knows."""
    check_items(queries, n_items)
    row = np.repeat(np.arange(len(queries)), np.diff(queries.indptr))
    return _latest(row, queries.items, queries.weights, (len(queries), n_items))


def _latest(
    row: NDArray[np.integer], item: NDArray[np.int32], rating: NDArray[np.float32], shape: tuple[int, int]
) -> csr_matrix:
    """The last rating > 0 of each cell; ratings come oldest first."""
    real = np.flatnonzero(rating > 0)[::-1]
    _, last = np.unique(row[real].astype(np.int64) * shape[1] + item[real], return_index=True)
    kept = real[last]
    return csr_matrix((rating[kept], (row[kept], item[kept])), shape=shape)

"""What a list is like apart from being right: how unusual its items are, how unlike one another."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys.metrics.judged import Judged


def novelty(judged: Judged, k: int) -> NDArray[np.float64]:
    """Mean self-information of the listed items in bits, -log2(share of users who touched it); NaN for no items."""
    items = judged.top(k)
    listed = items >= 0
    bits = np.where(listed, -np.log2(judged.popularity)[items], 0.0).sum(axis=1)
    return _or_nan(bits, listed.sum(axis=1), least=1)


def diversity(judged: Judged, k: int) -> NDArray[np.float64]:
    """Mean of 1 - cosine over all pairs in the list; NaN with fewer than two items that have a vector.

    The cosines of m unit vectors sum to (|sum|^2 - m) / 2 over all pairs: O(k d) for a list, not O(k^2 d).
    An item without a vector (all zero) is like and unlike nothing: it is left out.
    """
    unit, known = _unit_vectors(judged)
    items = judged.top(k)
    listed = (items >= 0) & known[items]
    size = listed.sum(axis=1)
    starts = np.append(0, np.cumsum(size))
    lists = csr_matrix((np.ones(starts[-1]), items[listed], starts), shape=(len(items), judged.n_items))
    total = lists @ unit
    cosines = np.einsum("nd,nd->n", total, total) - size
    return np.clip(1 - _or_nan(cosines, size * (size - 1), least=2), 0, 2)


def _unit_vectors(judged: Judged) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """((n_items, d) vectors of length 1 or 0, (n_items,) which have a direction)."""
    if judged.item_vectors is None:
        raise ValueError(
            "diversity needs item vectors, got None; "
            "pass item_vectors=recsys.metrics.item_vectors.item_vectors(dataset).values to judge"
        )
    vectors = judged.item_vectors.astype(np.float64)
    length = np.linalg.norm(vectors, axis=1)
    if not np.isfinite(length).all():
        raise ValueError("item_vectors must be finite; give an item without a vector zeros")
    known = length > 0
    return vectors / np.where(known, length, 1.0)[:, None], known


def _or_nan(total: NDArray[np.float64], count: NDArray[np.integer], *, least: int) -> NDArray[np.float64]:
    return np.where(count >= least, total / np.maximum(count, 1), np.nan)

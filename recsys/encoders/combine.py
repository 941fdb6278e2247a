"""Several blocks of vectors as one, and wide ones as narrow ones."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack, issparse
from scipy.sparse.linalg import svds

from recsys.encoders.base import Encoded


def combine(blocks: Sequence[Encoded], weights: Sequence[float] | None = None) -> Encoded:
    """(n, sum of d) blocks side by side, rows of each of length sqrt(weight).

    So the product of two rows is the weighted sum of the blocks' cosines, in which a block that knows nothing of one
    of the two counts 0. Weights default to equal ones of sum 1; sparse when any block is.
    """
    if not blocks:
        raise ValueError("there must be at least one block of vectors to combine, got none")
    shares = np.full(len(blocks), 1 / len(blocks)) if weights is None else np.asarray(weights, dtype=np.float64)
    if shares.shape != (len(blocks),) or not np.isfinite(shares).all() or (shares < 0).any() or not shares.any():
        raise ValueError(
            f"weights must be {len(blocks)} finite numbers >= 0 (one per block), not all zero; got {weights!r}"
        )
    used = [(block, share) for block, share in zip(blocks, shares, strict=True) if share > 0]
    return side_by_side([unit_rows(block) * np.sqrt(share) for block, share in used])


def unit_rows(vectors: Encoded) -> Encoded:
    """The rows at length 1; rows of zeros stay."""
    length = lengths(vectors)
    scale = np.divide(1.0, length, out=np.zeros_like(length), where=length > 0)
    if issparse(vectors):
        return csr_matrix(vectors.multiply(scale[:, None]))
    unit: NDArray[np.floating] = vectors * scale[:, None].astype(vectors.dtype)
    return unit


def lengths(vectors: Encoded) -> NDArray[np.float64]:
    """(n,) the Euclidean length of each row."""
    if issparse(vectors):
        return np.sqrt(np.asarray(vectors.multiply(vectors).sum(axis=1), dtype=np.float64).ravel())
    return np.asarray(np.linalg.norm(vectors, axis=1), dtype=np.float64)


def side_by_side(blocks: Sequence[Encoded]) -> Encoded:
    """The columns of all blocks, in their order."""
    if len(blocks) == 1:
        return blocks[0]
    if any(issparse(block) for block in blocks):
        return csr_matrix(hstack([csr_matrix(block) for block in blocks]))
    return np.hstack([np.asarray(block) for block in blocks])


def reduced(vectors: Encoded, dimensions: int) -> NDArray[np.floating]:
    """The rows in at most so many singular directions, dense; as they are when they have no more columns than that."""
    if vectors.shape[1] <= dimensions:
        return np.asarray(vectors.toarray() if issparse(vectors) else vectors)
    if min(vectors.shape) <= dimensions:
        dense = vectors.toarray() if issparse(vectors) else vectors
        left, values, _ = np.linalg.svd(dense, full_matrices=False)
    else:
        # the start vector of the solver is fixed: the same data must give the same vectors
        start = np.random.default_rng(0).random(min(vectors.shape))
        left, values, _ = svds(vectors, k=dimensions, v0=start)
    narrow = left * values
    # rounding has a direction too: a row with nothing in these directions must not get one
    narrow[np.linalg.norm(narrow, axis=1) < 1e-9] = 0.0
    return np.asarray(narrow)

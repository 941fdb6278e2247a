"""Vectors in which like items point the same way, for diversity: from labels, else text, else who touched what."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack
from scipy.sparse.linalg import svds

from recsys.data.dataset import Dataset, Features
from recsys.data.interactions import Interactions

LABEL_COLUMNS = ("categories", "category", "genres", "genre")
"""Item features read as sets of labels, separated by | inside a cell."""
TEXT_COLUMNS = ("title", "text", "description", "plot")
DIMENSIONS = 32
"""Wider matrices are reduced to so many singular directions."""


class ItemVectors(NamedTuple):
    """values: (n_items, d) float64, all zero for an item of which nothing is known; origin: what made them, to log."""

    values: NDArray[np.float64]
    origin: str


def item_vectors(dataset: Dataset) -> ItemVectors:
    """The vectors of the first of these that the data set has: label columns, text columns, interactions.

    Compare only models judged by the same vectors: build them once, from the training part.
    """
    features = dataset.item_features
    sources: tuple[tuple[tuple[str, ...], Callable[[Features, tuple[str, ...]], NDArray[np.float64]]], ...] = (
        (LABEL_COLUMNS, label_vectors),
        (TEXT_COLUMNS, text_vectors),
    )
    for names, build in sources:
        columns = tuple(name for name in names if name in features)
        if columns and (values := build(features, columns)).any():
            return ItemVectors(values, f"{build.__name__.removesuffix('_vectors')}: {', '.join(columns)}")
    return ItemVectors(collaborative_vectors(dataset.interactions), "collaborative")


def label_vectors(features: Features, columns: tuple[str, ...]) -> NDArray[np.float64]:
    """One dimension per label, 1 where the item has it; `Action|Comedy` is two labels. Each column weighs the same."""
    return _reduced(_side_by_side([_labels(features[column]) for column in columns]))


def text_vectors(features: Features, columns: tuple[str, ...]) -> NDArray[np.float64]:
    """TF-IDF of the words of the columns together."""
    try:
        from sklearn.feature_extraction.text import TfidfVectorizer
    except ModuleNotFoundError as missing:
        raise ImportError(
            "vectors of item text need scikit-learn: pip install 'bakeoff[train]', or pass item_vectors=..., "
            "e.g. collaborative_vectors(interactions)"
        ) from missing
    texts = [" ".join(words) for words in zip(*(_cells(features[column]) for column in columns), strict=True)]
    words = TfidfVectorizer(strip_accents="unicode", sublinear_tf=True)
    if not any(map(words.build_analyzer(), texts)):
        return np.zeros((len(texts), 1))
    return _reduced(csr_matrix(words.fit_transform(texts)))


def collaborative_vectors(interactions: Interactions) -> NDArray[np.float64]:
    """Items touched by the same users point the same way: each item's users as a unit vector, reduced."""
    touched = interactions.csr().T.tocsr().astype(np.float64)
    touched.data[:] = 1.0
    return _reduced(_unit_rows(touched))


def _labels(column: NDArray[Any]) -> csr_matrix:
    """(n_items, n_labels), rows of unit length."""
    pairs = [(row, label.strip()) for row, cell in enumerate(_cells(column)) for label in cell.split("|")]
    kept = [(row, label) for row, label in pairs if label]
    labels, place = np.unique([label for _, label in kept], return_inverse=True)
    rows = np.array([row for row, _ in kept], dtype=np.int64)
    matrix = csr_matrix((np.ones(len(rows)), (rows, place)), shape=(len(column), len(labels)))
    matrix.data[:] = 1.0  # a label named twice is still one label
    return _unit_rows(matrix)


def _cells(column: NDArray[Any]) -> list[str]:
    return ["" if cell is None or cell != cell else str(cell) for cell in column.tolist()]


def _unit_rows(matrix: csr_matrix) -> csr_matrix:
    length = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    scale = np.divide(1.0, length, out=np.zeros_like(length), where=length > 0)
    return csr_matrix(matrix.multiply(scale[:, None]))


def _side_by_side(blocks: list[csr_matrix]) -> csr_matrix:
    return csr_matrix(hstack(blocks))


def _reduced(matrix: csr_matrix) -> NDArray[np.float64]:
    """The rows in at most DIMENSIONS singular directions."""
    if matrix.shape[1] <= DIMENSIONS:
        return np.asarray(matrix.toarray(), dtype=np.float64)
    if min(matrix.shape) <= DIMENSIONS:
        left, values, _ = np.linalg.svd(matrix.toarray(), full_matrices=False)
    else:
        # the start vector of the solver is fixed: the same data must give the same vectors
        start = np.random.default_rng(0).random(min(matrix.shape))
        left, values, _ = svds(matrix, k=DIMENSIONS, v0=start)
    vectors = left * values
    # rounding has a direction too: a row with nothing in these directions must not get one
    vectors[np.linalg.norm(vectors, axis=1) < 1e-9] = 0.0
    return np.asarray(vectors, dtype=np.float64)

"""Vectors in which like items point the same way, for diversity: from labels, else text, else who touched what."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.data.dataset import Dataset, Features
from recsys.data.interactions import Interactions
from recsys.encoders.attributes import Attributes
from recsys.encoders.base import Encoded
from recsys.encoders.combine import reduced, unit_rows
from recsys.encoders.tfidf import TfIdf

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
    return _narrow(Attributes(columns).encode({name: features[name].astype(object) for name in columns}))


def text_vectors(features: Features, columns: tuple[str, ...]) -> NDArray[np.float64]:
    """TF-IDF of the words of the columns together."""
    return _narrow(TfIdf(columns).encode(features))


def collaborative_vectors(interactions: Interactions) -> NDArray[np.float64]:
    """Items touched by the same users point the same way: each item's users as a unit vector, reduced."""
    touched = interactions.csr().T.tocsr().astype(np.float64)
    touched.data[:] = 1.0
    return _narrow(unit_rows(touched))


def _narrow(vectors: Encoded) -> NDArray[np.float64]:
    return np.asarray(reduced(vectors, DIMENSIONS), dtype=np.float64)

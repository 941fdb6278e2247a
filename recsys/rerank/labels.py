"""Labels of items: the category, brand or genres by which a list is balanced or spaced."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bakeoff.catalogue import check_name
from recsys.data.dataset import Dataset
from recsys.encoders.base import words_of
from recsys.metrics.item_vectors import LABEL_COLUMNS

SEPARATOR = "|"
"""Between the labels of one cell, as in `Action|Comedy`."""


def item_labels(dataset: Dataset, columns: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.str_]]:
    """((n_items, most labels of an item) numbers of labels, -1 padded at the end, each once; their names).

    A label is named `column: label`, so that the same word in two columns is two labels.
    """
    for column in columns:
        check_name(dataset.item_features, column, "item feature")
    cells = [
        [(row, f"{column}: {label.strip()}") for label in dict.fromkeys(cell.split(SEPARATOR)) if label.strip()]
        for column in columns
        for row, cell in enumerate(words_of(dataset.item_features[column]))
    ]
    pairs = sorted({pair for cell in cells for pair in cell})
    rows = np.array([row for row, _ in pairs], dtype=np.int64)
    names, number = np.unique(np.array([label for _, label in pairs], dtype=np.str_), return_inverse=True)
    place = np.arange(len(rows)) - np.searchsorted(rows, rows)
    numbers = np.full((len(dataset.items), int(place.max(initial=0)) + 1), -1, np.int32)
    numbers[rows, place] = number
    return numbers, names


def label_column(dataset: Dataset, column: str | None, what: str) -> str:
    """The column asked for, or the first usual column of labels that the items have."""
    if column is not None:
        return check_name(dataset.item_features, column, "item feature")
    found = [name for name in LABEL_COLUMNS if name in dataset.item_features]
    if not found:
        known = ", ".join(dataset.item_features) or "none"
        raise ValueError(
            f"reranker {what!r} finds none of {', '.join(LABEL_COLUMNS)} among the item features of "
            f"{dataset.name!r}; name a column of labels, it has: {known}"
        )
    return found[0]

"""Spacing: items of one category or brand do not stand side by side."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from bakeoff.catalogue import check_name
from recsys.compiled import compiled
from recsys.data.dataset import Dataset
from recsys.data.parameters import check_whole
from recsys.data.recommendations import Recommendations
from recsys.rerank.base import Measures, Reranker, State
from recsys.rerank.labels import item_labels, label_column


@dataclass
class Spacing(Reranker):
    """Any `window` places in a row hold at most `at_most` items of one label, as far as the candidates allow it.

    Each place goes to the first item that breaks nothing with those above it; when every item does, to the first of
    those that break the fewest labels. columns: item features that hold labels, each a rule of its own (None: the first
    usual one there is); an item with several labels, as `Action|Comedy`, answers for all.
    """

    name: ClassVar[str] = "spacing"
    source: ClassVar[str] = "no two of a kind within a window"
    arrays: ClassVar[Mapping[str, tuple[str, ...]]] = {"labels": ("n_items", "most_labels"), "names": ("n_labels",)}

    columns: list[str] | None = None
    window: int = 2
    at_most: int = 1

    def __post_init__(self) -> None:
        if self.columns is not None and (
            isinstance(self.columns, str) or not self.columns or not all(isinstance(c, str) for c in self.columns)
        ):
            raise ValueError(f"columns of reranker 'spacing' must be a list of one or more names, got {self.columns!r}")
        check_whole("window of reranker 'spacing'", self.window, 2)
        check_whole("at_most of reranker 'spacing'", self.at_most, 1)
        if self.at_most >= self.window:
            raise ValueError(
                f"at_most of reranker 'spacing' must be below its window of {self.window}, got {self.at_most}; "
                "otherwise it forbids nothing"
            )

    def _fit(self, dataset: Dataset) -> State:
        columns = self.columns or [label_column(dataset, None, self.name)]
        for column in columns:
            check_name(dataset.item_features, column, "item feature")
        labels, names = item_labels(dataset, columns)
        return {"labels": labels, "names": names}

    def _choose(self, recommendations: Recommendations, k: int) -> NDArray[np.integer]:
        labels, n_labels = self.state()["labels"], len(self.state()["names"])
        places: NDArray[np.int32] = compiled(_spaced)(
            recommendations.items, labels, n_labels, self.window, self.at_most, k
        )
        return places

    def measures(self, recommendations: Recommendations) -> Measures:
        """Of the items of each list, the share that breaks the rule with those above it, 0 at best."""
        labels, n_labels = self.state()["labels"], len(self.state()["names"])
        broken = compiled(_broken)(recommendations.items, labels, n_labels, self.window, self.at_most)
        size = (recommendations.items >= 0).sum(axis=1)
        return {"crowding": np.divide(broken, size, out=np.full(len(size), np.nan), where=size > 0)}


def _spaced(
    items: NDArray[np.int32], labels: NDArray[np.int32], n_labels: int, window: int, at_most: int, k: int
) -> NDArray[np.int32]:
    n, m = items.shape
    places = np.full((n, min(k, m)), -1, np.int32)
    near = np.zeros(n_labels, np.int32)  # how often a label stands in the last window - 1 places
    for row in range(n):
        open_ = items[row] >= 0
        near[:] = 0
        for step in range(min(k, m)):
            if step >= window:
                for label in labels[items[row, places[row, step - window]]]:
                    if label >= 0:
                        near[label] -= 1
            best, fewest = -1, np.iinfo(np.int64).max
            for place in range(m):
                if open_[place]:
                    broken = 0
                    for label in labels[items[row, place]]:
                        if label >= 0 and near[label] >= at_most:
                            broken += 1
                    if broken < fewest:
                        best, fewest = place, broken
                    if broken == 0:
                        break
            if best < 0:
                break
            places[row, step] = best
            open_[best] = False
            for label in labels[items[row, best]]:
                if label >= 0:
                    near[label] += 1
    return places


def _broken(
    items: NDArray[np.int32], labels: NDArray[np.int32], n_labels: int, window: int, at_most: int
) -> NDArray[np.float64]:
    n, m = items.shape
    found = np.zeros(n)
    near = np.zeros(n_labels, np.int32)
    for row in range(n):
        near[:] = 0
        for place in range(m):
            if items[row, place] < 0:
                break
            if place >= window:
                for label in labels[items[row, place - window]]:
                    if label >= 0:
                        near[label] -= 1
            crowded = False
            for label in labels[items[row, place]]:
                if label >= 0:
                    crowded = crowded or near[label] >= at_most
                    near[label] += 1
            found[row] += crowded
    return found

"""Calibration: a list whose mix of labels is that of the user's history."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from recsys.compiled import compiled
from recsys.data.dataset import Dataset
from recsys.data.queries import Queries
from recsys.data.recommendations import Recommendations
from recsys.models.base import Weighting, check_choice, check_real, query_likes
from recsys.rerank.base import Measures, State
from recsys.rerank.blended import Blended, relevance
from recsys.rerank.labels import item_labels, label_column


@dataclass
class Calibration(Blended):
    """Place by place the item that most lifts (1 - strength) * sum of relevance - strength * KL(p, q~) of the list.

    p: the mix of labels of the user's likes, q that of the list; an item of several labels is an equal part of each;
    q~ = (1 - smoothing) q + smoothing p. An item without a label changes no mix; a user who liked nothing that has one
    keeps the list as it is.

    column: the item feature that holds the labels, `Action|Comedy` being two; None: the first usual one there is.
    weighting, half_life_days: what a like of the history counts, see `recsys.models.base.query_likes`.
    """

    name: ClassVar[str] = "calibration"
    source: ClassVar[str] = "Steck 2018"
    arrays: ClassVar[Mapping[str, tuple[str, ...]]] = {"labels": ("n_items", "most_labels"), "names": ("n_labels",)}

    column: str | None = None
    smoothing: float = 0.01
    weighting: Weighting = "binary"
    half_life_days: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_real("smoothing of reranker 'calibration'", self.smoothing, least=0, most=1, above=True)
        check_choice("weighting of reranker 'calibration'", self.weighting, Weighting)
        if self.half_life_days is not None:
            check_real("half_life_days of reranker 'calibration'", self.half_life_days, least=0, above=True)

    def _fit(self, dataset: Dataset) -> State:
        labels, names = item_labels(dataset, [label_column(dataset, self.column, self.name)])
        return {"labels": labels, "names": names}

    def _choose(self, recommendations: Recommendations, k: int) -> NDArray[np.integer]:
        taste = self.tastes(recommendations.queries)
        relevant = relevance(recommendations, self.relevance)
        places: NDArray[np.int32] = compiled(_greedy)(
            recommendations.items, relevant, self.state()["labels"], taste, self.strength, self.smoothing, k
        )
        return places

    def tastes(self, queries: Queries) -> NDArray[np.float64]:
        """(n, n_labels) the mix of labels of each history, rows of sum 1; all zero where nothing liked has a label."""
        labels, n_labels = self.state()["labels"], len(self.state()["names"])
        liked = query_likes(queries, len(labels), self.weighting, half_life_days=self.half_life_days)
        row = np.repeat(np.arange(len(queries)), np.diff(liked.indptr))
        return _mixes(row, liked.indices, liked.data.astype(np.float64), labels, (len(queries), n_labels))

    def measures(self, recommendations: Recommendations) -> Measures:
        """KL(p, q~) of each list, 0 at best, in nats; NaN where the history or the list has no label."""
        labels, taste = self.state()["labels"], self.tastes(recommendations.queries)
        row, place = np.nonzero(recommendations.items >= 0)
        items = recommendations.items[row, place]
        shown = _mixes(row, items, np.ones(len(items)), labels, taste.shape)
        mixed = (1 - self.smoothing) * shown + self.smoothing * taste
        ratio = np.divide(taste, mixed, out=np.ones_like(taste), where=taste > 0)
        known = taste.any(axis=1) & shown.any(axis=1)
        return {"calibration_error": np.where(known, (taste * np.log(ratio)).sum(axis=1), np.nan)}


def _mixes(
    row: NDArray[np.integer],
    items: NDArray[np.integer],
    weights: NDArray[np.float64],
    labels: NDArray[np.int32],
    shape: tuple[int, int],
) -> NDArray[np.float64]:
    """(n, n_labels) the weighted mean of the labels of each row's items; rows without a label are zero."""
    of_item = labels[items]
    there = of_item >= 0
    each = weights / there.sum(axis=1).clip(min=1)
    entry, place = np.nonzero(there)
    cell = row[entry] * shape[1] + of_item[entry, place]
    sums = np.bincount(cell, weights=each[entry], minlength=shape[0] * shape[1])
    mixes: NDArray[np.float64] = sums.reshape(shape).astype(np.float64)  # of no cells it gives integers
    total = mixes.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(mixes, total, out=np.zeros_like(mixes), where=total > 0))


def _greedy(
    items: NDArray[np.int32],
    relevant: NDArray[np.float64],
    labels: NDArray[np.int32],
    taste: NDArray[np.float64],
    strength: float,
    smoothing: float,
    k: int,
) -> NDArray[np.int32]:
    n, m = items.shape
    n_labels, width = taste.shape[1], labels.shape[1]
    places = np.full((n, min(k, m)), -1, np.int32)
    for row in range(n):
        open_ = items[row] >= 0
        pull = strength if taste[row].sum() > 0 else 0.0
        counts = np.zeros(n_labels)  # the list so far: parts of items that have the label
        size = 0  # items with a label among them
        now = np.zeros(n_labels)
        for step in range(min(k, m)):
            # KL splits into labels: one more item scales all of them alike, and lifts only its own
            scaled, kept = 0.0, 0.0
            for g in range(n_labels):
                p = taste[row, g]
                if p > 0:
                    now[g] = p * np.log(p / ((1 - smoothing) * counts[g] / (size + 1) + smoothing * p))
                    scaled += now[g]
                    kept += p * np.log(p / ((1 - smoothing) * counts[g] / max(size, 1) + smoothing * p))
            best, highest = -1, -np.inf
            for place in range(m):
                if open_[place]:
                    own = labels[items[row, place]]
                    n_own = 0
                    while n_own < width and own[n_own] >= 0:
                        n_own += 1
                    divergence = scaled if n_own else kept
                    for j in range(n_own):
                        g, p = own[j], taste[row, own[j]]
                        if p > 0:
                            share = (1 - smoothing) * (counts[g] + 1 / n_own) / (size + 1)
                            divergence += p * np.log(p / (share + smoothing * p)) - now[g]
                    value = (1 - pull) * relevant[row, place] - pull * divergence
                    if value > highest:
                        best, highest = place, value
            if best < 0:
                break
            places[row, step] = best
            open_[best] = False
            own = labels[items[row, best]]
            n_own = (own >= 0).sum()
            for j in range(n_own):
                counts[own[j]] += 1 / n_own
            size += 1 if n_own else 0
    return places

"""Candidates: the union of several recommenders' best unseen items, each with who named it, where and how high."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from recsys.data.queries import Queries
from recsys.models.base import Recommender
from recsys.recommend import recommend

SMOOTHING = 60.0
"""Of reciprocal ranks, as in Cormack, Clarke & Buettcher (SIGIR 2009)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidates:
    """The candidates of n queries, c in all, by query and then by item number.

    origins: the names of the sources; indptr: (n + 1,) int64, candidates indptr[i]:indptr[i+1] are those of query i;
    items: (c,) int32; ranks, scores: (c, n_origins) float32, the place (1 the best) and score that a source gave, NaN
    where the item is not in its list.
    """

    origins: tuple[str, ...]
    indptr: NDArray[np.int64]
    items: NDArray[np.int32]
    ranks: NDArray[np.float32]
    scores: NDArray[np.float32]

    def __post_init__(self) -> None:
        shape = (len(self.items), len(self.origins))
        if self.ranks.shape != shape or self.scores.shape != shape or int(self.indptr[-1]) != len(self.items):
            raise ValueError(
                f"{shape[0]} items of {shape[1]} origins, ranks {self.ranks.shape}, scores {self.scores.shape} and an "
                f"indptr that ends at {self.indptr[-1]} do not match"
            )

    def __len__(self) -> int:
        return len(self.indptr) - 1

    @cached_property
    def query(self) -> NDArray[np.int64]:
        """(c,) the query of each candidate."""
        return np.repeat(np.arange(len(self)), np.diff(self.indptr))

    @cached_property
    def fused(self) -> NDArray[np.float32]:
        """(c,) sums of 1 / (60 + rank) over the sources that named the item: an order that needs no learning."""
        votes = np.nan_to_num(1.0 / (SMOOTHING + self.ranks.astype(np.float64)))
        return np.asarray(votes.sum(axis=1), dtype=np.float32)

    def block(self, start: int, stop: int) -> "Candidates":
        """The candidates of the queries start:stop, as those of queries of their own."""
        first, last = int(self.indptr[start]), int(self.indptr[stop])
        return Candidates(
            origins=self.origins,
            indptr=self.indptr[start : stop + 1] - first,
            items=self.items[first:last],
            ranks=self.ranks[first:last],
            scores=self.scores[first:last],
        )

    def where(self, keep: NDArray[np.bool_]) -> "Candidates":
        """The candidates for which `keep` (c,) is true; the queries stay."""
        indptr = np.append(0, np.cumsum(keep))[self.indptr]
        return Candidates(
            origins=self.origins,
            indptr=indptr.astype(np.int64),
            items=self.items[keep],
            ranks=self.ranks[keep],
            scores=self.scores[keep],
        )


def gather(
    models: Sequence[Recommender],
    depths: Sequence[int],
    queries: Queries,
    *,
    origins: Sequence[str],
    touched: NDArray[np.bool_],
) -> Candidates:
    """The union of each model's `depths` best unseen items; a model that is silent about a query has no say in it.

    touched: (n_items,) whether training knows the item. One that nobody touched is a candidate only by a model that
    scores new items: popularity's nought is no reason to show it.
    """
    n_items = len(touched)
    n = len(queries)
    keys, places, scores = [], [], []
    for model, depth in zip(models, depths, strict=True):
        lists = recommend(model, queries, depth)
        offered = lists.items >= 0
        if not model.scores_new_items:
            offered &= touched[lists.items.clip(min=0)]
        row, place = np.nonzero(offered)
        keys.append(row * n_items + lists.items[row, place])
        places.append(place + 1)
        scores.append(lists.scores[row, place])
    union, inverse = np.unique(np.concatenate(keys), return_inverse=True)
    ranks = np.full((len(union), len(models)), np.nan, np.float32)
    given = np.full((len(union), len(models)), np.nan, np.float32)
    start = 0
    for origin, (place, score) in enumerate(zip(places, scores, strict=True)):
        rows = inverse[start : start + len(place)]
        ranks[rows, origin], given[rows, origin] = place, score
        start += len(place)
    indptr = np.searchsorted(union, np.arange(n + 1) * n_items).astype(np.int64)
    return Candidates(
        origins=tuple(origins), indptr=indptr, items=(union % n_items).astype(np.int32), ranks=ranks, scores=given
    )


def origin_names(models: Sequence[str]) -> tuple[str, ...]:
    """The models' names, each one its own: a second `item_knn` is `item_knn_2`.

    >>> origin_names(["ease", "item_knn", "item_knn"])
    ('ease', 'item_knn', 'item_knn_2')
    """
    seen: dict[str, int] = {}
    names = []
    for model in models:
        seen[model] = seen.get(model, 0) + 1
        names.append(model if seen[model] == 1 else f"{model}_{seen[model]}")
    return tuple(names)


def check_sources(candidates: Candidates, data_name: str) -> None:
    """Refuse a source that named nothing for any query: its place in the pipeline is a mistake."""
    silent = np.isnan(candidates.ranks).all(axis=0)
    if len(candidates) and silent.any():
        raise ValueError(
            f"candidate source {candidates.origins[int(silent.argmax())]!r} returns nothing for any of the "
            f"{len(candidates)} queries of {data_name!r}; check its parameters, or leave it out"
        )

"""Candidates: the union of several recommenders' best unseen items, each with who named it, where and how high."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from recsys.compiled import compiled
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
        votes: NDArray[np.float32] = compiled(_votes)(self.ranks)
        return votes

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


def _votes(ranks: NDArray[np.float32]) -> NDArray[np.float32]:
    found = np.empty(len(ranks), np.float32)
    for row in range(len(ranks)):
        total = 0.0
        for rank in ranks[row]:
            if not np.isnan(rank):
                total += 1.0 / (SMOOTHING + rank)
        found[row] = total
    return found


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
    lists = [recommend(model, queries, depth) for model, depth in zip(models, depths, strict=True)]
    indptr, items, ranks, scores = compiled(_united)(
        np.hstack([of.items for of in lists]),
        np.hstack([of.scores for of in lists]),
        np.append(0, np.cumsum([of.k for of in lists])),
        np.array([model.scores_new_items for model in models]),
        touched,
    )
    return Candidates(origins=tuple(origins), indptr=indptr, items=items, ranks=ranks, scores=scores)


def _united(
    items: NDArray[np.int32],
    scores: NDArray[np.float32],
    starts: NDArray[np.int64],
    names_new: NDArray[np.bool_],
    touched: NDArray[np.bool_],
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32], NDArray[np.float32]]:
    """The arrays of `Candidates` from lists side by side, those of origin i in columns starts[i]:starts[i + 1].

    names_new: whether what an origin names may be an item that nobody touched.
    """
    n, width = items.shape
    n_origins = len(names_new)
    indptr = np.zeros(n + 1, np.int64)
    union = np.empty(n * width, np.int32)
    row_of = np.full(len(touched), -1, np.int64)
    for query in range(n):
        start = size = indptr[query]
        for origin in range(n_origins):
            for column in range(starts[origin], starts[origin + 1]):
                item = items[query, column]
                if item >= 0 and row_of[item] < 0 and (names_new[origin] or touched[item]):
                    row_of[item] = 0
                    union[size] = item
                    size += 1
        union[start:size].sort()
        row_of[union[start:size]] = -1
        indptr[query + 1] = size
    ranks = np.full((indptr[n], n_origins), np.nan, np.float32)
    given = np.full((indptr[n], n_origins), np.nan, np.float32)
    for query in range(n):
        start, stop = indptr[query], indptr[query + 1]
        for row in range(start, stop):
            row_of[union[row]] = row
        for origin in range(n_origins):
            for column in range(starts[origin], starts[origin + 1]):
                item = items[query, column]
                if item >= 0 and (names_new[origin] or touched[item]):
                    row = row_of[item]
                    ranks[row, origin], given[row, origin] = column - starts[origin] + 1, scores[query, column]
        row_of[union[start:stop]] = -1
    return indptr, union[: indptr[n]].copy(), ranks, given


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

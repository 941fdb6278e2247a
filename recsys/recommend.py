"""From scores to lists: the only place that masks, cuts and falls back."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from recsys.compiled import compiled
from recsys.data.queries import Queries
from recsys.data.recommendations import Recommendations
from recsys.models.base import Recommender
from recsys.ranking import top_k

__all__ = ["mask_seen", "recommend", "top_k"]


def recommend(
    model: Recommender,
    queries: Queries,
    k: int,
    *,
    fallback: Recommender | None = None,
    exclude_seen: bool = True,
    banned: NDArray[np.integer] | None = None,
    block: int = 256,
    report: Callable[[int, int], None] | None = None,
) -> Recommendations:
    """The k best items of each query by the model's scores; places it cannot fill go to the fallback's best.

    exclude_seen: leave out what is in the query's history; banned: item numbers that nobody is shown. The fallback's
    items stand below the model's, without duplicates, and have score NaN; places that nobody can fill are -1.
    Queries are scored `block` at a time, about 3 * block * n_items float32 in memory; `report(done, n)` is called
    after each block.
    """
    for name, value in (("k", k), ("block", block)):
        if value < 1:
            raise ValueError(f"{name} must be >= 1, got {value}")
    banned = np.empty(0, np.int32) if banned is None else np.asarray(banned)
    n = len(queries)
    items = np.full((n, k), -1, np.int32)
    scores = np.full((n, k), np.nan, np.float32)
    for start in range(0, n, block):
        rows = slice(start, min(start + block, n))
        part = queries.block(rows.start, rows.stop)
        items[rows], scores[rows] = _best(model, part, k, exclude_seen, banned)
        if fallback is not None:
            _fill(items[rows], fallback, part, exclude_seen, banned)
        if report is not None:
            report(rows.stop, n)
    return Recommendations(queries=queries, items=items, scores=scores, model=model.name)


def mask_seen(scores: NDArray[np.float32], queries: Queries) -> NDArray[np.float32]:
    """A copy of the (n, n_items) scores with NaN where the item is in the query's history."""
    return _mask(np.array(scores, dtype=np.float32), queries)


def _mask(scores: NDArray[np.float32], queries: Queries) -> NDArray[np.float32]:
    scores[np.repeat(np.arange(len(queries)), np.diff(queries.indptr)), queries.items] = np.nan
    return scores


def _allowed(
    model: Recommender, queries: Queries, exclude_seen: bool, banned: NDArray[np.integer]
) -> NDArray[np.float32]:
    """The model's scores, NaN where an item must not be shown."""
    scores = model.score(queries)
    _check_numbers(queries, banned, scores.shape[1])
    # an answer that may be written to is ours; to copy a block costs as much as a third of its scores
    if not scores.flags.writeable and (exclude_seen or len(banned)):
        scores = scores.copy()
    if exclude_seen:
        _mask(scores, queries)
    if len(banned):
        scores[:, banned] = np.nan
    return scores


def _check_numbers(queries: Queries, banned: NDArray[np.integer], n_items: int) -> None:
    """Refuse numbers of no item: -1, an unknown id, would mask the last one."""
    for name, items in (("histories", queries.items), ("banned", banned)):
        if len(items) and not 0 <= items.min() <= items.max() < n_items:
            raise ValueError(f"{name} must hold item numbers 0..{n_items - 1}, got {items.min()}..{items.max()}")


def _best(
    model: Recommender, queries: Queries, k: int, exclude_seen: bool, banned: NDArray[np.integer]
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    if model.searches:
        return _best_of_nearest(model, queries, k, exclude_seen, banned)
    return top_k(_allowed(model, queries, exclude_seen, banned), k)


def _best_of_nearest(
    model: Recommender, queries: Queries, k: int, exclude_seen: bool, banned: NDArray[np.integer]
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The same without scoring the catalogue: so many of the nearest that k are left when all others are forbidden."""
    n_items = model.score(queries.block(0, 0)).shape[1]
    _check_numbers(queries, banned, n_items)
    longest = int(np.diff(queries.indptr).max(initial=0)) if exclude_seen else 0
    items, scores = model.nearest(queries, min(n_items, k + longest + len(banned)))
    seen = queries.items if exclude_seen else queries.items[:0]
    indptr = queries.indptr if exclude_seen else np.zeros(len(queries) + 1, np.int64)
    allowed = compiled(_without)(items, scores, indptr, seen, banned, n_items)
    place, best = top_k(allowed, k)  # places are in the order of number too
    return np.where(place < 0, np.int32(-1), np.take_along_axis(items, place.clip(min=0), axis=1)), best


def _without(
    items: NDArray[np.int32],
    scores: NDArray[np.float32],
    indptr: NDArray[np.int64],
    seen: NDArray[np.int32],
    banned: NDArray[np.integer],
    n_items: int,
) -> NDArray[np.float32]:
    """The scores of lists, NaN for an item that is banned or among the query's own seen[indptr[i]:indptr[i+1]]."""
    allowed = scores.copy()
    forbidden = np.zeros(n_items, np.bool_)
    forbidden[banned] = True
    for row in range(len(items)):
        own = seen[indptr[row] : indptr[row + 1]]
        forbidden[own] = True
        for place in range(items.shape[1]):
            if items[row, place] >= 0 and forbidden[items[row, place]]:
                allowed[row, place] = np.nan
        forbidden[own] = False
        forbidden[banned] = True
    return allowed


def _fill(
    items: NDArray[np.int32],
    fallback: Recommender,
    queries: Queries,
    exclude_seen: bool,
    banned: NDArray[np.integer],
) -> None:
    """Write the fallback's best into the empty places (-1, at the end of a row) of the lists."""
    short = np.flatnonzero(items[:, -1] < 0)
    if len(short) == 0:
        return
    offered = np.array(_allowed(fallback, queries, exclude_seen, banned)[short])
    row, place = np.nonzero(items[short] >= 0)
    offered[row, items[short][row, place]] = np.nan
    more, _ = top_k(offered, items.shape[1])
    both = np.hstack([items[short], more])
    filled_first = np.argsort(both < 0, axis=1, kind="stable")[:, : items.shape[1]]
    items[short] = np.take_along_axis(both, filled_first, axis=1)

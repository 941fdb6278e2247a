"""Why a pipeline put an item where it is, for a data scientist: who named it, and what each feature added."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.data.queries import Queries
from recsys.hybrid.pipeline import Pipeline


@dataclass(frozen=True, kw_only=True)
class Insight:
    """One item of one list.

    named_by: source -> (its rank there, 1 the best; its score there), for the sources that named the item;
    contributions: feature -> (its value, what it added to the sum of trees: its SHAP value), by falling size; start:
    what every candidate starts from. Empty and NaN without a ranker.
    """

    item: int
    named_by: Mapping[str, tuple[int, float]]
    contributions: Mapping[str, tuple[float, float]]
    start: float


def insights(pipeline: Pipeline, query: Queries, items: NDArray[np.integer]) -> list[Insight]:
    """The insight into each of the items that a fitted pipeline named for one query; others are refused.

    start + the sum of all contributions is the raw score of the trees.
    """
    if len(query) != 1:
        raise ValueError(f"one query at a time, got {len(query)}")
    named = pipeline.named(query)
    place = np.searchsorted(named.items, items)  # by item number within a query
    missing = (
        np.asarray(items)[named.items[place.clip(max=len(named.items) - 1)] != items] if len(named.items) else items
    )
    if len(missing):
        raise ValueError(f"no source of the pipeline named item {missing[0]} for this query: there is nothing to say")
    ranker, names = pipeline.trees, list(pipeline.feature_table())
    features = added = np.empty((len(named.items), 0))
    if ranker is not None:
        features = np.asarray(pipeline.described(query, named), dtype=np.float64)
        added = ranker.contributions(features[place].astype(np.float32))
    found = []
    for row, candidate in enumerate(place.tolist()):
        sources = {
            origin: (int(named.ranks[candidate, i]), float(named.scores[candidate, i]))
            for i, origin in enumerate(named.origins)
            if not np.isnan(named.ranks[candidate, i])
        }
        order = np.argsort(-np.abs(added[row, : len(names)]), kind="stable")
        told = {names[i]: (float(features[candidate, i]), float(added[row, i])) for i in order.tolist()}
        start = float(added[row, -1]) if names else float("nan")
        found.append(Insight(item=int(items[row]), named_by=sources, contributions=told, start=start))
    return found

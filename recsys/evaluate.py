"""From a fitted model and a split to a Scorecard: recommend, join with the truth once, compute what was asked for."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bakeoff.catalogue import check_name, lookup
from recsys.data.dataset import Dataset
from recsys.data.interactions import Interactions
from recsys.data.queries import Queries
from recsys.data.recommendations import Recommendations
from recsys.leaderboard import Standing, leaderboard
from recsys.metrics import CATALOGUE_METRICS, METRICS
from recsys.metrics import item_vectors as vectors
from recsys.metrics.judged import Judged, Truth, judge
from recsys.models.base import Recommender
from recsys.recommend import recommend
from recsys.scorecard import Row, Scorecard, compare, slices, summary

__all__ = [
    "Row",
    "Scorecard",
    "Standing",
    "cold_items",
    "compare",
    "evaluate",
    "leaderboard",
    "metric_key",
    "score_recommendations",
    "slices",
    "summary",
]

NEED_VECTORS = frozenset({"diversity"})
ACCURACY = "recsys.metrics.accuracy:"
"""Where the metrics that a truth decides are."""


def evaluate(
    model: Recommender,
    seen: Dataset,
    truth: Dataset | Interactions | Truth,
    *,
    ks: Sequence[int] = (5, 10, 20),
    metrics: Sequence[str] | None = None,
    fallback: Recommender | None = None,
    item_vectors: NDArray[np.floating] | None = None,
    report: Callable[[int, int], None] | None = None,
) -> Scorecard:
    """The scorecard of a fitted model over the users with something new to find in `truth`, new and rare items apart.

    seen: what the model was fitted on; its interactions are the histories and are not recommended again. metrics:
    names of METRICS and CATALOGUE_METRICS, None for all; only those are computed. item_vectors: (n_items, d) for
    diversity, made from `seen` where missing. A `Truth` given as truth spares the join with `seen` in each trial.
    """
    _check(ks, metrics)  # before the long part
    rows = truth.interactions if isinstance(truth, Dataset) else truth
    relevant = rows if isinstance(rows, Truth) else Truth.of(rows, seen.interactions)
    queries = Queries.of(seen.interactions, relevant.users)
    recommendations = recommend(model, queries, max(ks), fallback=fallback, report=report)
    scorecard = score_recommendations(
        recommendations,
        relevant,
        seen=seen,
        ks=ks,
        metrics=metrics,
        item_vectors=item_vectors,
        parts=cold_items(seen.interactions),
    )
    return replace(scorecard, n_without_truth=relevant.n_without)


def score_recommendations(
    recommendations: Recommendations,
    truth: Interactions | Truth,
    *,
    seen: Dataset,
    ks: Sequence[int] = (5, 10, 20),
    metrics: Sequence[str] | None = None,
    item_vectors: NDArray[np.floating] | None = None,
    parts: Mapping[str, NDArray[np.bool_]] | None = None,
) -> Scorecard:
    """The scorecard of lists that already exist, one list per user, whoever made them.

    parts: name -> (n_items,) which items count as truth, for accuracies on parts of the catalogue; see `cold_items`.
    """
    per_user, of_lists = _check(ks, metrics)
    if item_vectors is None and NEED_VECTORS.intersection(per_user):
        item_vectors = vectors.item_vectors(seen).values
    relevant = truth if isinstance(truth, Truth) else Truth.of(truth, seen.interactions)
    judged = judge(recommendations, relevant, seen=seen.interactions, item_vectors=item_vectors)
    accuracies = [name for name in per_user if METRICS[name].startswith(ACCURACY)]
    of_parts = {
        part: judge(recommendations, relevant.of_items(kept), seen=seen.interactions)
        for part, kept in (parts or {}).items()
    }
    queries = recommendations.queries
    return Scorecard(
        model=recommendations.model,
        users=queries.users,
        values=_computed(METRICS, per_user, judged, ks),
        catalogue=_computed(CATALOGUE_METRICS, of_lists, judged, ks),
        n_seen=np.diff(queries.indptr),
        n_without_truth=int((judged.n_relevant == 0).sum()),
        fallback=recommendations.fallback,
        of_items={part: _computed(METRICS, accuracies, judged, ks) for part, judged in of_parts.items()},
    )


def cold_items(seen: Interactions, *, few: int = 10) -> dict[str, NDArray[np.bool_]]:
    """The items by how little was known of them: new (touched by nobody), rare (by fewer than `few` users)."""
    if few < 2:
        raise ValueError(f"few must be >= 2, got {few}; items without a user are the part 'new items'")
    users = seen.item_users
    return {"new items": users == 0, "rare items": (users > 0) & (users < few)}


def metric_key(metric: str, k: int) -> str:
    """The name of a metric at k in scorecards, tracking and configuration: `ndcg_10`."""
    return f"{metric}_{k}"


def _computed(table: dict[str, str], names: Sequence[str], judged: Judged, ks: Sequence[int]) -> dict[str, Any]:
    functions = {name: lookup(table, name, "metric") for name in names}
    return {metric_key(name, k): function(judged, k) for name, function in functions.items() for k in ks}


def _check(ks: Sequence[int], metrics: Sequence[str] | None) -> tuple[list[str], list[str]]:
    """The metrics per user and those of all lists together, in the order of their tables."""
    if len(ks) == 0 or min(ks) < 1:
        raise ValueError(f"ks must be one or more cut-offs >= 1, got {tuple(ks)}")
    asked = {*METRICS, *CATALOGUE_METRICS} if metrics is None else set(metrics)
    for name in sorted(asked):
        check_name(METRICS | CATALOGUE_METRICS, name, "metric")
    return [name for name in METRICS if name in asked], [name for name in CATALOGUE_METRICS if name in asked]

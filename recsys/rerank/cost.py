"""What a reranker costs in accuracy and gains in what it is for, user by user."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bakeoff.bootstrap import RESAMPLES, Paired, paired
from recsys.data.dataset import Dataset
from recsys.data.interactions import Interactions
from recsys.data.recommendations import Recommendations
from recsys.evaluate import metric_key, score_recommendations
from recsys.metrics.judged import Truth
from recsys.rerank.base import Reranker, first_places

METRICS = ("ndcg", "recall", "novelty", "diversity", "coverage", "gini")
"""Of all lists alike, whatever the reranker is for; the accuracy first."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """One measure of the first k places, before and after. difference: after - before, None for one number of all.

    own: whether it is the reranker's own measure rather than a metric of every list.
    """

    reranker: str
    measure: str
    before: float
    after: float
    difference: Paired | None
    own: bool


def cost(
    reranker: Reranker,
    lists: Recommendations,
    truth: Interactions | Truth,
    *,
    seen: Dataset,
    k: int,
    metrics: Sequence[str] = METRICS,
    item_vectors: NDArray[np.floating] | None = None,
    title: str | None = None,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    rng: np.random.Generator,
) -> list[Change]:
    """What the fitted reranker changes in the first k places of the lists: the metrics, then its own measures.

    lists: longer than k, one per user, as `recommend` gives them; before is their first k places. The differences are
    paired by user, those of accuracy over the users with a truth; title: how the reranker is named in the result.
    """
    if lists.k <= k:
        raise ValueError(
            f"the lists must be longer than k = {k}, got {lists.k} places: a reranker can only choose among candidates"
        )
    before, after = first_places(lists, k), reranker.rerank(lists, k)
    name, changes = title or reranker.name, []
    cards = [
        score_recommendations(part, truth, seen=seen, ks=(k,), metrics=metrics, item_vectors=item_vectors)
        for part in (before, after)
    ]
    for metric in [metric_key(metric, k) for metric in metrics]:
        per_user = metric in cards[0].values
        old, new = (card.values[metric] if per_user else np.array([card.catalogue[metric]]) for card in cards)
        difference = paired(new, old, level=level, resamples=resamples, rng=rng) if per_user else None
        changes.append(_change(name, metric, old, new, difference, own=False))
    olds, news = reranker.measures(before), reranker.measures(after)
    for measure, old in olds.items():
        difference = paired(news[measure], old, level=level, resamples=resamples, rng=rng)
        changes.append(_change(name, measure, old, news[measure], difference, own=True))
    return changes


def costs(
    rerankers: Mapping[str, Reranker],
    lists: Recommendations,
    truth: Interactions | Truth,
    *,
    seen: Dataset,
    k: int,
    metrics: Sequence[str] = METRICS,
    item_vectors: NDArray[np.floating] | None = None,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int,
) -> list[Change]:
    """`cost` of several rerankers, by title, each fitted on `seen` here; all are judged on the same resamples."""
    relevant = truth if isinstance(truth, Truth) else Truth.of(truth, seen.interactions)
    return [
        change
        for title, reranker in rerankers.items()
        for change in cost(
            reranker.fit(seen),
            lists,
            relevant,
            seen=seen,
            k=k,
            metrics=metrics,
            item_vectors=item_vectors,
            title=title,
            level=level,
            resamples=resamples,
            rng=np.random.default_rng(seed),
        )
    ]


def _change(
    name: str,
    measure: str,
    old: NDArray[np.float64],
    new: NDArray[np.float64],
    difference: Paired | None,
    *,
    own: bool,
) -> Change:
    # the same users on both sides, or before and after would not differ by the difference
    both = ~(np.isnan(old) | np.isnan(new))
    before, after = (float(side[both].mean()) if both.any() else float("nan") for side in (old, new))
    return Change(reranker=name, measure=measure, before=before, after=after, difference=difference, own=own)

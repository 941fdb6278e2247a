"""Explained slates of a registered version: why each item, in a user's words and in a data scientist's numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from experiments.package import Package
from experiments.reasons import as_dataset
from recsys.data.queries import Queries
from recsys.hybrid.explain import Explainer, Reason
from recsys.hybrid.insight import Insight, insights
from recsys.hybrid.pipeline import Pipeline
from recsys.recommend import recommend

LAST = 5
"""Items of the history that are shown."""
MOST = 3
"""Features of the ranker that are told of an item."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One place of a slate. named_by: the sources of a pipeline with their ranks; added: features -> SHAP values."""

    rank: int
    item: str
    title: str
    reason: Reason
    named_by: dict[str, int]
    added: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class ExplainedSlate:
    """What one user is shown, and why. last: titles of what they touched last, the newest first."""

    user: str
    known: bool
    last: tuple[str, ...]
    lines: tuple[Line, ...]


def explained_slates(
    package: Package, users: Sequence[str], *, k: int = 10, verb: str = "liked"
) -> list[ExplainedSlate]:
    """The slates of outside user ids, explained; whoever is not known gets what everybody gets.

    Reasons are true of the model: the history item that is named is the one without which the score falls most. One
    query to the model for each item of a history, so this is for looking, not for serving.
    """
    data = as_dataset(package)
    explainer = Explainer(verb=verb).fit(data)
    found = []
    for user, number in zip(users, package.users.numbers(list(users)), strict=True):
        query = Queries.of(package.histories, np.array([number]))
        lists = recommend(package.model, query, k, fallback=package.fallback)
        (reasons,) = explainer.explain(package.model, lists)
        of_model = [r.item for r in reasons if not np.isnan(r.score)]
        inside = dict(zip(of_model, _insights(package, query, of_model), strict=False))
        found.append(
            ExplainedSlate(
                user=user,
                known=bool(number >= 0),
                last=tuple(package.titles[list(dict.fromkeys(query.items[::-1].tolist()))[:LAST]].tolist()),
                lines=tuple(_line(package, rank, reason, inside) for rank, reason in enumerate(reasons, start=1)),
            )
        )
    return found


def _insights(package: Package, query: Queries, items: list[int]) -> list[Insight]:
    return insights(package.model, query, np.array(items)) if isinstance(package.model, Pipeline) and items else []


def _line(package: Package, rank: int, reason: Reason, inside: dict[int, Insight]) -> Line:
    insight = inside.get(reason.item)
    return Line(
        rank=rank,
        item=str(package.items.ids[reason.item]),
        title=str(package.titles[reason.item]),
        reason=reason,
        named_by={} if insight is None else {name: place for name, (place, _) in insight.named_by.items()},
        added=({} if insight is None else {f: added for f, (_, added) in list(insight.contributions.items())[:MOST]}),
    )

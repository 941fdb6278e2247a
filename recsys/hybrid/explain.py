"""Why this item: a reason in a user's words that is true of the model, or of the log, and the number behind it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.data.parameters import check_whole
from recsys.data.queries import Queries
from recsys.data.recommendations import Recommendations
from recsys.hybrid.evidence import Evidence, evidence
from recsys.hybrid.influence import Influence, leave_one_out
from recsys.metrics.item_vectors import LABEL_COLUMNS
from recsys.models.base import Recommender, check_real
from recsys.rerank.labels import item_labels

Kind = Literal["history", "new", "trending", "near", "popular", "none"]
SURGE = 3.0
"""Standard deviations above the usual from which on an item trends."""
FEW = 5
"""Fewer people than this are no crowd."""
MAKERS = frozenset({"brand", "seller", "shop", "author", "artist", "publisher", "label"})
"""Columns whose labels an item comes from; of all others it is in one."""


@dataclass(frozen=True, kw_only=True)
class Reason:
    """Why one item stands in one list.

    because: the number of the history item that is named, -1 for none; score, score_without: the item's score with the
    whole history and without the named item, NaN where the model has none; evidence: for the other kinds, the number
    that the words give (people; for `new` the age in days), NaN for none.
    """

    item: int
    kind: Kind
    words: str
    because: int
    score: float
    score_without: float
    evidence: float


@dataclass
class Explainer:
    """Reasons for lists of any fitted model; fitted on the data set that the lists are made from.

    The first that holds of: `history`, the item of the history without which the score falls most, if that takes at
    least `least` of what lifts the item above the usual score; `new`, first touched in the last `new_days` or not at
    all yet, with the label that the user liked before, if there is one; `trending`, touched by far more people in the
    last `days` than usual; `near` and `popular`, among the most touched `top` of the catalogue in the last `days`,
    among people of the same place, or all; `none`: the history as a whole, where the score depends on it, else how many
    people ever touched it.

    verb: what users do with items, as in "because you {verb} X". labels: item features whose labels may be named (None:
    brand and the usual ones there are); near: a user feature that says where somebody is, or a query's context of the
    same name, which goes first; latest: how many items of a
    history are tried, the youngest first.
    """

    verb: str = "liked"
    least: float = 0.05
    latest: int = 50
    days: float = 7.0
    new_days: float = 14.0
    top: float = 0.05
    labels: Sequence[str] | None = None
    near: str | None = None

    _titles: list[str] = field(default_factory=list, init=False, repr=False, compare=False)
    _evidence: Evidence | None = field(default=None, init=False, repr=False, compare=False)
    _labels: NDArray[np.int32] = field(init=False, repr=False, compare=False)
    _names: list[str] = field(default_factory=list, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_real("least", self.least, least=0, most=1)
        check_real("top", self.top, least=0, most=1, above=True)
        check_real("days", self.days, least=0, above=True)
        check_real("new_days", self.new_days, least=0)
        check_whole("latest", self.latest, 1)

    def fit(self, dataset: Dataset) -> Self:
        """Count what can be said of the items and return self."""
        if len(dataset.interactions) == 0:
            raise ValueError(f"{dataset.name!r} has no interactions: there is nothing to give as a reason")
        titles = dataset.item_features.get("title", dataset.items.ids)
        self._titles = [str(title) for title in titles.tolist()]
        self._evidence = evidence(dataset, days=self.days, near=self.near)
        usual = [name for name in ("brand", *LABEL_COLUMNS) if name in dataset.item_features]
        self._labels, names = item_labels(dataset, usual if self.labels is None else self.labels)
        self._names = names.tolist()
        return self

    def explain(self, model: Recommender, recommendations: Recommendations) -> list[list[Reason]]:
        """For each list a reason for each of its items, in their order."""
        self._known()
        queries, explained = recommendations.queries, []
        for i, row in enumerate(recommendations.items):
            explained.append(self.why(model, queries.block(i, i + 1), row[row >= 0]))
        return explained

    def why(self, model: Recommender, query: Queries, items: NDArray[np.integer]) -> list[Reason]:
        """For one query a reason for each of these items, whoever chose them."""
        self._known()
        influence = leave_one_out(model, query, items, latest=self.latest)
        return [self._reason(query, influence, items, place) for place in range(len(items))]

    def slate(self, query: Queries, reasons: Sequence[Reason]) -> str:
        """One explained list as text: what the user did last, then rank, title, reason and the numbers behind it."""
        last = [self._titles[item] for item in dict.fromkeys(query.items[::-1].tolist())][:5]
        lines = [f"{self.verb} last: {'; '.join(last) or 'nothing yet'}"]
        width = max((len(self._titles[reason.item]) for reason in reasons), default=0)
        for rank, reason in enumerate(reasons, start=1):
            line = f"{rank:>3}  {self._titles[reason.item]:<{width}}  {reason.words}"
            if reason.kind == "history":
                left = "nothing" if np.isnan(reason.score_without) else f"{reason.score_without:.4g}"
                line += f"  [score {reason.score:.4g}, without it {left}]"
            lines.append(line)
        return "\n".join(lines)

    def _reason(self, query: Queries, influence: Influence, items: NDArray[np.integer], place: int) -> Reason:
        item, score = int(items[place]), float(influence.scores[place])
        best = self._driver(influence, place)
        if best is not None:
            because = int(influence.history[best])
            return Reason(
                item=item,
                kind="history",
                words=f"because you {self.verb} {self._titles[because]}",
                because=because,
                score=score,
                score_without=float(influence.without[best, place]),
                evidence=float("nan"),
            )
        reads = bool(np.isfinite(score) and (np.nan_to_num(influence.drops[:, place]) != 0).any())
        kind, words, number = self._said_of(item, query, reads)
        nan = float("nan")
        return Reason(item=item, kind=kind, words=words, because=-1, score=score, score_without=nan, evidence=number)

    def _driver(self, influence: Influence, place: int) -> int | None:
        """The place in the history of what lifts the item most, the latest of equals; None if nothing lifts it much."""
        drops = influence.drops[:, place]
        if not len(drops) or np.isnan(drops).all():
            return None
        best = int(np.nanargmax(drops))
        lift = float(influence.scores[place]) - influence.usual
        return best if drops[best] > 0 and drops[best] >= self.least * lift else None

    def _said_of(self, item: int, query: Queries, reads: bool) -> tuple[Kind, str, float]:
        """What the log shows of the item; reads: whether its score depends on anything in the history."""
        known = self._known()
        age, recent, usual = known.age_days[item], int(known.recent[item]), float(known.usual[item])
        if not age > self.new_days:
            shared = self._shared_label(item, query)
            return "new", f"new {shared}, which you {self.verb} before" if shared else "new", float(age)
        if recent >= FEW and known.surge[item] >= SURGE:
            return "trending", f"trending: {recent} people in {self.days:g} days, usually {usual:.1f}", float(recent)
        where = self._place(query)
        if where >= 0 and self._is_top(known.near[where], item):
            count = int(known.near[where, item])
            return "near", f"popular in {known.places[where]}: {count} people in {self.days:g} days", float(count)
        if self._is_top(known.recent, item):
            return "popular", f"popular: {recent} people in {self.days:g} days", float(recent)
        if reads:
            return "none", f"fits what you {self.verb} as a whole, no single item stands out", float("nan")
        ever = int(known.total[item])
        return "none", f"{ever:,} {'person' if ever == 1 else 'people'} {self.verb} it in all", float(ever)

    def _place(self, query: Queries) -> int:
        known, user = self._known(), int(query.users[0])
        if self.near is not None and self.near in query.context:
            told = str(query.context[self.near][0])
            if told in known.places:
                return known.places.index(told)
        return int(known.place_of[user]) if 0 <= user < len(known.place_of) else -1

    def _is_top(self, counts: NDArray[np.int64], item: int) -> bool:
        above = int((counts > counts[item]).sum())
        return bool(counts[item] >= FEW) and above < max(1, round(self.top * len(counts)))

    def _shared_label(self, item: int, query: Queries) -> str:
        """Such as "from Acme" or "in tea"; "" when the item shares no label with what was liked."""
        liked = self._labels[query.items[query.weights > 0]]
        shared = [label for label in self._labels[item].tolist() if label >= 0 and (liked == label).any()]
        if not shared:
            return ""
        column, _, label = self._names[shared[0]].partition(": ")
        return f"{'from' if column in MAKERS else 'in'} {label}"

    def _known(self) -> Evidence:
        if self._evidence is None:
            raise RuntimeError("the explainer is not fitted; call fit(dataset) first")
        return self._evidence


def slates(explainer: Explainer, model: Recommender, recommendations: Recommendations) -> str:
    """The lists explained, one below the other: for a terminal, or a page."""
    explained = explainer.explain(model, recommendations)
    blocks = [recommendations.queries.block(i, i + 1) for i in range(len(explained))]
    return "\n\n".join(explainer.slate(query, reasons) for query, reasons in zip(blocks, explained, strict=True))

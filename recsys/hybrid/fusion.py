"""Fusion: several models as one, by the ranks or the scores they give, whatever the scale of these."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.data.queries import Queries
from recsys.data.recommendations import Recommendations
from recsys.models.base import Family, Recommender, State, Watch, check_choice, check_real, check_whole, create
from recsys.ranking import top_k
from recsys.recommend import recommend

Rule = Literal["reciprocal_rank", "scores", "votes"]


def fuse(
    lists: Sequence[Recommendations],
    weights: Sequence[float] | None = None,
    *,
    rule: Rule = "reciprocal_rank",
    smoothing: float = 60.0,
    sharpness: float = 1.0,
    k: int,
) -> Recommendations:
    """The k items with the highest sum over the lists of weight * what the rule gives a place of a list of n items.

    reciprocal_rank: 1 / (smoothing + rank), rank 1 the best (Cormack, Clarke & Buettcher, SIGIR 2009); scores: the
    score, brought to 0..1 within its list (CombSUM with min-max, Fox & Shaw 1994), which tells a clear favourite from a
    narrow one, to the power of `sharpness` (above 1: the more so); votes: (n + 1 - rank) / n (Borda 1781).

    The lists answer the same queries. A place without a score (padding, or filled by the fallback) was not ranked by
    its model and counts for nothing, so a list that is empty for a query has no say in it. Weights default to equal
    ones; ties are broken by item number.
    """
    if not lists:
        raise ValueError("there must be at least one list to fuse, got none")
    queries = lists[0].queries
    for other in lists[1:]:
        if not np.array_equal(other.queries.users, queries.users):
            raise ValueError(f"the lists of {lists[0].model!r} and {other.model!r} answer different queries")
    check_choice("rule", rule, Rule)
    check_real("smoothing", smoothing, least=0)
    check_real("sharpness", sharpness, least=0, above=True)
    weight = check_weights(weights, len(lists))

    # a list of weight 0 brings no items at all
    heard = [(w, part) for w, part in zip(weight, lists, strict=True) if w > 0]
    items = np.hstack([part.items for _, part in heard])
    votes = np.hstack([w * _given(part, rule, smoothing, sharpness) for w, part in heard])
    fused_items, fused = _sum_by_item(np.where(np.isnan(votes), -1, items), np.nan_to_num(votes))
    place, scores = top_k(fused, k)
    chosen = np.take_along_axis(fused_items, place.clip(min=0), axis=1)
    return Recommendations(
        queries=queries, items=np.where(place < 0, np.int32(-1), chosen), scores=scores, model=Fusion.name
    )


def _given(part: Recommendations, rule: Rule, smoothing: float, sharpness: float) -> NDArray[np.float64]:
    """(n, k) what the rule gives each place; NaN where the model did not rank."""
    ranked = (part.items >= 0) & ~np.isnan(part.scores)
    rank = np.arange(1, part.k + 1)
    if rule == "reciprocal_rank":
        return np.where(ranked, 1 / (smoothing + rank), np.nan)
    if rule == "votes":
        n = ranked.sum(axis=1, keepdims=True)
        return np.where(ranked, (n + 1 - rank) / np.maximum(n, 1), np.nan)
    scores = part.scores.astype(np.float64)
    least = np.min(scores, axis=1, keepdims=True, where=ranked, initial=np.inf)
    most = np.max(scores, axis=1, keepdims=True, where=ranked, initial=-np.inf)
    with np.errstate(invalid="ignore"):  # empty rows, and infinity less infinity
        return np.where(ranked, np.where(most > least, ((scores - least) / (most - least)) ** sharpness, 1.0), np.nan)


@dataclass
class Fusion(Recommender):
    """Models as one: each one's `depth` best unseen items get its weight times what the rule gives them, see `fuse`.

    parts: `{"model": name in MODELS, "params": {...}}`; weights: one number >= 0 each (None: all 1). Ranks are taken
    among unseen items, or a model that loves what was seen would waste its ranks on it; so seen items score NaN here,
    as do those in nobody's list. A part that can say nothing about a query does not count for it.
    """

    name: ClassVar[str] = "fusion"
    family: ClassVar[Family] = "ensemble"
    source: ClassVar[str] = "Cormack, Clarke & Buettcher 2009; Fox & Shaw 1994"

    parts: list[dict[str, Any]]
    weights: list[float] | None = None
    rule: Rule = "reciprocal_rank"
    smoothing: float = 60.0
    depth: int = 100
    sharpness: float = 1.0

    _models: list[Recommender] = field(default_factory=list, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_whole("depth", self.depth, 1)
        check_choice("rule", self.rule, Rule)
        check_real("smoothing", self.smoothing, least=0)
        check_real("sharpness", self.sharpness, least=0, above=True)
        if not self.parts:
            raise ValueError("a fusion needs at least one part, got none")
        check_weights(self.weights, len(self.parts))
        self._models = [_create_part(part) for part in self.parts]

    @classmethod
    def of(
        cls,
        models: Sequence[Recommender],
        weights: Sequence[float] | None = None,
        *,
        rule: Rule = "reciprocal_rank",
        smoothing: float = 60.0,
        depth: int = 100,
        sharpness: float = 1.0,
    ) -> Self:
        """The fusion of models that are already fitted; nothing is refitted or copied."""
        parts = [{"model": model.name, "params": model.params()} for model in models]
        fusion = cls(parts, None if weights is None else list(weights), rule, smoothing, depth, sharpness)
        fusion._models = list(models)
        return fusion

    def _fit(self, dataset: Dataset, watch: Watch | None) -> None:
        # new ones: the models handed to `of` belong to their owner
        self._models = [_create_part(part).fit(dataset) for part in self.parts]

    def score(self, queries: Queries) -> NDArray[np.float32]:
        """(n, n_items) sums of what the rule gives; NaN for what is seen or in no part's list."""
        lists = [recommend(model, queries, self.depth) for model in self._models]
        fused = fuse(
            lists,
            self.weights,
            rule=self.rule,
            smoothing=self.smoothing,
            sharpness=self.sharpness,
            k=self.depth * len(lists),
        )
        n_items = self._models[0].score(queries.block(0, 0)).shape[1]
        scores = np.full((len(queries), n_items), np.nan, np.float32)
        row, place = np.nonzero(fused.items >= 0)
        scores[row, fused.items[row, place]] = fused.scores[row, place]
        return scores

    def state(self) -> State:
        """The states of the parts; names begin with the number of the part."""
        return {f"{i}.{name}": array for i, m in enumerate(self._models) for name, array in m.state().items()}

    @property
    def members(self) -> dict[str, Recommender]:
        """The parts, by place and name."""
        return {f"{i}.{model.name}": model for i, model in enumerate(self._models)}

    def restore(self, state: State) -> Self:
        """Take back what `state` gave; returns self."""
        states: list[State] = [{} for _ in self.parts]
        for name, array in state.items():
            part, _, inner = name.partition(".")
            if not (part.isdecimal() and int(part) < len(states) and inner):
                raise ValueError(f"{name!r} names no array of the {len(states)} parts; expected '0.<name>' and so on")
            states[int(part)][inner] = array
        self._models = [_create_part(part).restore(s) for part, s in zip(self.parts, states, strict=True)]
        return self


def check_weights(weights: Sequence[float] | None, n: int) -> NDArray[np.float64]:
    """The n weights as numbers >= 0 that are not all zero; None stands for equal ones."""
    values = np.ones(n) if weights is None else np.asarray(weights, dtype=np.float64)
    if values.shape != (n,):
        raise ValueError(f"weights must be one number for each of the {n} lists, got {weights!r}")
    if not (np.isfinite(values).all() and (values >= 0).all() and (values > 0).any()):
        raise ValueError(f"weights must be finite, >= 0 and not all zero, got {weights!r}")
    return values


def _create_part(part: Mapping[str, Any]) -> Recommender:
    if not isinstance(part, Mapping) or "model" not in part or set(part) - {"model", "params"}:
        raise ValueError(f"a part of a fusion is {{'model': ..., 'params': {{...}}}}, got {part!r}")
    return create(part["model"], **part.get("params", {}))


def _sum_by_item(items: NDArray[np.int32], votes: NDArray[np.float64]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Each row's distinct items, in order of number, with the sum of their votes; NaN in the places left over."""
    n, width = items.shape
    order = np.argsort(items, axis=1, kind="stable")
    items = np.take_along_axis(items, order, axis=1)
    votes = np.take_along_axis(votes, order, axis=1)
    first = np.ones((n, width), dtype=bool)
    first[:, 1:] = items[:, 1:] != items[:, :-1]
    starts = np.flatnonzero(first)
    sums = np.full((n, width), np.nan, np.float32)
    # float32 at the end only: parts that add up to the same, in another order, must tie
    sums.ravel()[starts] = np.add.reduceat(votes.ravel(), starts) if len(starts) else 0
    sums[items < 0] = np.nan
    return items, sums

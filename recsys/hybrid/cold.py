"""Progressive: from popularity over content to collaboration, as fast as a user becomes known."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.data.queries import Queries
from recsys.hybrid.content_map import place_new_items
from recsys.models.base import (
    Family,
    Recommender,
    State,
    Watch,
    check_choice,
    check_real,
    check_whole,
    create,
    query_likes,
)
from recsys.recommend import recommend
from recsys.rerank.blended import Scale, relevance

STAGES = ("popular", "content", "collaborative")


@dataclass
class Progressive(Recommender):
    """Three models by turns: an item's score is the sum over the stages of weight(n) * relevance.

    n is how many distinct items the user liked. With h(n, half) = n^steepness / (n^steepness + half^steepness):
    popular weighs 1 - h(n, first_clicks), content h(n, first_clicks) * (1 - h(n, grown)), collaborative the rest. So a
    newcomer gets what is popular, at `first_clicks` likes the personal stages weigh as much as that, and at `grown`
    likes the collaborative one as much as content. Relevance is that of the `depth` best unseen items of each stage, by
    `score` or by `rank` as `blend` says, see `recsys.rerank.blended.relevance`; all others have none.

    popular, content, collaborative: `{"model": name in MODELS, "params": {...}}`; popularity within a context is
    `{"model": "popularity", "params": {"segment": "country"}}`. content: null for data without item features.

    Items that nobody liked yet get factors in the collaborative stage too, mapped from their content by ridge
    regression with the penalty `map_penalty` (None: they do not), when that stage keeps factors, as als, ials and
    pure_svd do; see `recsys.hybrid.content_map`. Nothing is remembered of a user: the history in the query decides.
    """

    name: ClassVar[str] = "progressive"
    family: ClassVar[Family] = "ensemble"
    source: ClassVar[str] = "stages by the length of the history; Gantner et al. 2010 for new items"
    needs: ClassVar[tuple[str, ...]] = ("train",)
    scores_new_items: ClassVar[bool] = True

    popular: dict[str, Any] = field(default_factory=lambda: {"model": "popularity"})
    content: dict[str, Any] | None = field(default_factory=lambda: {"model": "content"})
    collaborative: dict[str, Any] = field(default_factory=lambda: {"model": "ials"})
    # early: on ml-latest-small and the market, folding in beats content from the first like on
    first_clicks: float = 0.3
    grown: float = 0.3
    steepness: float = 1.0
    blend: Scale = "score"
    depth: int = 100
    map_penalty: float | None = 1.0

    _models: dict[str, Recommender] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("first_clicks", "grown", "steepness"):
            check_real(name, getattr(self, name), least=0, above=True)
        check_choice("blend", self.blend, Scale)
        check_whole("depth", self.depth, 1)
        if self.map_penalty is not None:
            check_real("map_penalty", self.map_penalty, least=0, above=True)
        self._models = self._create()

    def _create(self) -> dict[str, Recommender]:
        parts = {stage: getattr(self, stage) for stage in STAGES if stage != "content" or self.content is not None}
        return {stage: _created(stage, part) for stage, part in parts.items()}

    def _fit(self, dataset: Dataset, watch: Watch | None) -> None:
        if self.content is not None and not dataset.item_features:
            raise ValueError(
                f"{dataset.name!r} has no item features, which the content stage of 'progressive' reads; "
                "give it `content: null`"
            )
        self._models = {stage: model.fit(dataset) for stage, model in self._create().items()}
        if self.map_penalty is not None and "content" in self._models:
            content = self._models["content"].state().get("item_vectors")
            if content is not None:
                place_new_items(self._models["collaborative"], content, self.map_penalty)

    def weights(self, n_likes: NDArray[np.integer]) -> NDArray[np.float64]:
        """(n, 3) what popular, content and collaborative weigh after so many likes; rows sum to 1.

        Without a content stage its part falls to the collaborative one.
        """
        likes = np.asarray(n_likes, dtype=np.float64)
        personal = _half_way(likes, self.first_clicks, self.steepness)
        grown = np.ones(len(likes)) if self.content is None else _half_way(likes, self.grown, self.steepness)
        return np.column_stack([1 - personal, personal * (1 - grown), personal * grown])

    def score(self, queries: Queries) -> NDArray[np.float32]:
        """(n, n_items) sums of weight * relevance; NaN for what is seen or in no stage's list."""
        n_items = self._stage("popular").score(queries.block(0, 0)).shape[1]
        likes = query_likes(queries, n_items, "binary")
        weights = self.weights(np.diff(likes.indptr))
        sums = np.zeros((len(queries), n_items))
        listed = np.zeros(sums.shape, np.bool_)
        for stage, model in self._models.items():
            weight = weights[:, STAGES.index(stage)]
            lists = recommend(model, queries, self.depth)
            row, place = np.nonzero((lists.items >= 0) & (weight > 0)[:, None])
            items = lists.items[row, place]
            sums[row, items] += weight[row] * relevance(lists, self.blend)[row, place]
            listed[row, items] = True
        return np.where(listed, sums, np.nan).astype(np.float32)

    def state(self) -> State:
        """The states of the stages; names begin with the stage."""
        return {f"{s}.{name}": array for s, model in self._models.items() for name, array in model.state().items()}

    @property
    def members(self) -> Mapping[str, Recommender]:
        """The stages."""
        return self._models

    def restore(self, state: State) -> Self:
        """Take back what `state` gave; returns self."""
        models = self._create()
        states: dict[str, State] = {stage: {} for stage in models}
        for name, array in state.items():
            stage, _, inner = name.partition(".")
            if stage not in states or not inner:
                raise ValueError(
                    f"{name!r} names no array of the stages {', '.join(states)}; expected 'popular.<name>'"
                )
            states[stage][inner] = array
        self._models = {stage: model.restore(states[stage]) for stage, model in models.items()}
        return self

    def _stage(self, name: str) -> Recommender:
        model = self._models[name]
        model.state()  # refuses to go on when it is not fitted
        return model


def _half_way(likes: NDArray[np.float64], half: float, steepness: float) -> NDArray[np.float64]:
    """(n,) from 0 at no likes over 1/2 at `half` towards 1."""
    grown: NDArray[np.float64] = (likes / half) ** steepness
    return grown / (1 + grown)


def _created(stage: str, part: Any) -> Recommender:
    if not isinstance(part, Mapping) or "model" not in part or set(part) - {"model", "params"}:
        raise ValueError(f"{stage} of 'progressive' is {{'model': ..., 'params': {{...}}}}, got {part!r}")
    return create(part["model"], **part.get("params", {}))

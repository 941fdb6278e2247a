"""Exploration: what hardly anybody has seen yet is owed a place, or it would never be seen."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.data.parameters import check_whole
from recsys.data.recommendations import Recommendations
from recsys.rerank.base import Measures, Reranker, State
from recsys.rerank.quotas import fill
from recsys.rerank.rule_kinds import ANY


@dataclass
class Exploration(Reranker):
    """At least `at_least` places of each list go to items that fewer than `few` users touched, the most relevant first.

    They take the last places unless they earned a better one. page: this holds for each so many places (None: for the
    whole list); where lists are longer than what is shown, as in a pipeline's pool, give what is shown. Nothing is
    drawn by chance, so there is no propensity to log. The candidates must hold such items: take them from a model that
    scores new items, `content` or `progressive`.
    """

    name: ClassVar[str] = "exploration"
    source: ClassVar[str] = "a floor for items of few users"
    arrays: ClassVar[Mapping[str, tuple[str, ...]]] = {"users": ("n_items",)}

    at_least: int = 1
    few: int = 10
    page: int | None = None

    def __post_init__(self) -> None:
        check_whole("at_least of reranker 'exploration'", self.at_least, 1)
        check_whole("few of reranker 'exploration'", self.few, 1)
        if self.page is not None:
            check_whole("page of reranker 'exploration'", self.page, 1)

    def _fit(self, dataset: Dataset) -> State:
        return {"users": dataset.interactions.item_users}

    def _choose(self, recommendations: Recommendations, k: int) -> NDArray[np.integer]:
        items = recommendations.items
        order = np.where(items < 0, -1, np.arange(items.shape[1]))
        return fill(order, self._new(items)[:, :, None], [self.at_least], [ANY], k, self.page)

    def measures(self, recommendations: Recommendations) -> Measures:
        """How many items of few users each list holds."""
        listed = (recommendations.items >= 0).any(axis=1)
        return {"new_items": np.where(listed, self._new(recommendations.items).sum(axis=1), np.nan)}

    def _new(self, items: NDArray[np.int32]) -> NDArray[np.bool_]:
        new: NDArray[np.bool_] = (items >= 0) & (self.state()["users"][items] < self.few)
        return new

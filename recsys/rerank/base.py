"""What every reranker is: fitted on a data set, it rearranges lists that are too long and keeps the k best."""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from bakeoff.catalogue import lookup
from recsys.compiled import compiled
from recsys.data.dataset import Dataset
from recsys.data.parameters import check_parameters, check_whole
from recsys.data.recommendations import Recommendations
from recsys.models.base import State as State
from recsys.models.base import check_state
from recsys.rerank import RERANKERS

Measures = dict[str, NDArray[np.float64]]
"""Name -> (n,) one value per list, NaN where a list has none."""


@dataclasses.dataclass
class Reranker(ABC):
    """The contract of a reranker. A subclass is a dataclass: its fields are its parameters, checked in __post_init__.

    It only chooses among what it is given: no new items, none twice, never more than k, and fewer only when the list
    has fewer or a rule forbids the rest. Where its rule has no opinion, the order given stays.
    """

    name: ClassVar[str]
    """The reranker's name in RERANKERS."""
    source: ClassVar[str]
    """Who described it, or its idea in a few words."""
    arrays: ClassVar[Mapping[str, tuple[str, ...]]]
    """What `_fit` gives: name -> its dimensions in words; the same word is the same size, `n_items` is among them."""

    _learnt: State | None = dataclasses.field(default=None, init=False, repr=False, compare=False)

    def fit(self, dataset: Dataset) -> Self:
        """Take from the data set what the rule needs and return self. The data set is not written to."""
        self._learnt = self._fit(dataset)
        return self

    @abstractmethod
    def _fit(self, dataset: Dataset) -> State:
        """The arrays that `arrays` describes; a column that the data set lacks is refused by name."""

    def rerank(self, recommendations: Recommendations, k: int) -> Recommendations:
        """(n, k) the best of the lists after the rule, padded with -1 and NaN; give lists longer than k.

        The scores are those of the chosen items, dealt out again in descending order and parted by the least step of
        float32 where they tie: whoever sorts by score gets this order, and a score stays in its model's range. An item
        of the fallback keeps its NaN.
        """
        check_whole("k", k, 1)
        self._check_items(recommendations)
        places = self._choose(recommendations, k)
        return _arranged(recommendations, places, k)

    @abstractmethod
    def _choose(self, recommendations: Recommendations, k: int) -> NDArray[np.integer]:
        """(n, at most k) the places of the chosen items in the lists given, best first; -1 at the end for none."""

    @abstractmethod
    def measures(self, recommendations: Recommendations) -> Measures:
        """What this reranker is for, list by list, whoever made the lists: what it gains is read from these."""

    @property
    def n_items(self) -> int:
        """The size of the catalogue it was fitted on."""
        state = self.state()
        return next(len(state[name]) for name, words in self.arrays.items() if words[0] == "n_items")

    def state(self) -> State:
        """What was taken from the data set, as arrays."""
        if self._learnt is None:
            raise RuntimeError(f"reranker {self.name!r} is not fitted; call fit(dataset) or restore(state) first")
        return self._learnt

    def restore(self, state: State) -> Self:
        """Take back what `state` gave; returns self."""
        check_state(self.name, state, self.arrays)
        self._learnt = dict(state)
        return self

    def params(self) -> dict[str, Any]:
        """The parameters by which `type(self)(**params)` makes the same, unfitted, reranker; JSON can carry them."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.init}

    def _check_items(self, recommendations: Recommendations) -> None:
        items = recommendations.items
        if items.size and int(items.max()) >= self.n_items:
            raise ValueError(
                f"a list holds item number {items.max()}, reranker {self.name!r} knows 0..{self.n_items - 1}; "
                "fit it on the data set whose vocabulary numbers the items"
            )


def create(name: str, **params: Any) -> Reranker:
    """The unfitted reranker that RERANKERS registers under `name`; an unknown parameter is refused by name."""
    kind: type[Reranker] = lookup(RERANKERS, name, "reranker")
    check_parameters(kind, params, f"reranker {name!r}")
    return kind(**params)


def first_places(recommendations: Recommendations, k: int) -> Recommendations:
    """The lists cut to their first k places, as they are."""
    return dataclasses.replace(
        recommendations, items=recommendations.items[:, :k], scores=recommendations.scores[:, :k]
    )


def _arranged(recommendations: Recommendations, places: NDArray[np.integer], k: int) -> Recommendations:
    n, width = len(places), min(places.shape[1], k)
    items = np.full((n, k), -1, np.int32)
    scores = np.full((n, k), np.nan, np.float32)
    kept = places[:, :width] >= 0
    place = places[:, :width].clip(min=0)
    if recommendations.k:
        items[:, :width] = np.where(kept, np.take_along_axis(recommendations.items, place, axis=1), -1)
        given = np.where(kept, np.take_along_axis(recommendations.scores, place, axis=1), np.float32(np.nan))
        scores[:, :width] = compiled(_descending)(given)
    return Recommendations(queries=recommendations.queries, items=items, scores=scores, model=recommendations.model)


def _descending(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each row's values, strictly falling from left to right; NaN stays where it is."""
    dealt = np.full_like(scores, np.nan)
    for row in range(len(scores)):
        scored = ~np.isnan(scores[row])
        best_first = -np.sort(-scores[row][scored])
        for place in range(1, len(best_first)):
            below = np.nextafter(best_first[place - 1], np.float32(-np.inf))
            best_first[place] = min(best_first[place], below)
        dealt[row][scored] = best_first
    return dealt

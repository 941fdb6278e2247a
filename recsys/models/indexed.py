"""Models whose score is a product of a user's vector and an item's, for which an index finds the best."""

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.data.queries import Queries
from recsys.index.base import AT, Index, create
from recsys.models.base import Recommender, State, check_real

_SAMPLE = 1_000
"""Users whose vectors the recall of an index is measured by, at most."""


@dataclass(kw_only=True)
class Indexed(Recommender):
    """A model with an index, when one is named; put it before the other base.

    index: a name in INDEXES, with its index_params, for catalogues too large to score: lists are then made of what it
    finds. `recall` says how much that is, measured when it is built; below `least_recall`, `index_note` says so and
    how to mend it. `_fit` ends with `_build_index`.
    """

    index: str | None = None
    index_params: dict[str, Any] = field(default_factory=dict)
    least_recall: float = 0.8

    _index: Index | None = field(default=None, init=False, repr=False, compare=False)

    @abstractmethod
    def _item_vectors(self) -> NDArray[np.float32]:
        """(n_items, d); a row of zeros is an item that is not found."""

    @abstractmethod
    def _user_vectors(self, queries: Queries) -> NDArray[np.float32]:
        """(n, d); NaN for a query of which nothing is known."""

    @property
    def searches(self) -> bool:
        """Whether there is an index."""
        return self._index is not None

    def nearest(self, queries: Queries, m: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """(n, m) items and scores by the index; without one, cut from all scores."""
        if self._index is None:
            return super().nearest(queries, m)
        place, scores = self._index.search(self._user_vectors(queries), m)
        indexed = np.flatnonzero(self._item_vectors().any(axis=1)).astype(np.int32)
        return np.where(place < 0, np.int32(-1), indexed[place.clip(min=0)]), scores

    @property
    def recall(self) -> float:
        """The share of the exactly best items that the index finds for users of training; 1 without one."""
        self.state()
        return 1.0 if self._index is None else self._index.recall

    @property
    def index_note(self) -> str:
        """What to know of an approximate index: its recall, the cure where that is too low, what did not fit; or ""."""
        if self._index is None or not self._index.cure:
            return ""
        told = [f"index {self._index.name} of {self.name} finds {self.recall:.1%} of the {AT} exactly best"]
        if self.recall < self.least_recall:
            told.append(f"below least_recall {self.least_recall:.0%}: {self._index.cure}")
        return "; ".join([*told, *([self._index.adapted] if self._index.adapted else [])])

    def state(self) -> State:
        """What was learnt; the arrays of the index have names that begin with `index.`."""
        index = {} if self._index is None else self._index.state()
        return super().state() | {f"index.{name}": array for name, array in index.items()}

    def restore(self, state: State) -> Self:
        """Take back what `state` gave; returns self."""
        parts = {name.removeprefix("index."): array for name, array in state.items() if name.startswith("index.")}
        if (self.index is None) != (not parts):
            raise ValueError(f"the state of {self.name!r} with index {self.index!r} holds arrays {sorted(state)}")
        self._index = None
        super().restore({name: array for name, array in state.items() if not name.startswith("index.")})
        self._index = None if self.index is None else create(self.index, **self.index_params).restore(parts)
        return self

    def _check_index(self) -> None:
        """Refuse an index or its parameters that do not exist."""
        check_real("least_recall", self.least_recall, least=0, most=1)
        if self.index is not None:
            create(self.index, **self.index_params)

    def _build_index(self, dataset: Dataset) -> None:
        """Index the items that have a vector, and measure the recall for users of the data set."""
        self._index = None
        if self.index is None:
            return
        vectors = self._item_vectors()
        described = vectors.any(axis=1)
        if not described.any():
            raise ValueError("no item has any content: there is nothing to index; check the columns of the encoders")
        users = np.unique(dataset.interactions.user)
        asked = self._user_vectors(Queries.of(dataset.interactions, users[:: max(1, len(users) // _SAMPLE)]))
        known = asked[~np.isnan(asked).any(axis=1)]
        index = create(self.index, **self.index_params)
        self._index = index.build(vectors[described], known if len(known) else None)

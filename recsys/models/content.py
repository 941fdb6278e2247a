"""Content: items as what is known of them, a user as what he liked. The one family that serves an item's first day."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.data.queries import Queries
from recsys.encoders.combine import reduced, unit_rows
from recsys.encoders.parts import create_part, encoded
from recsys.index.base import Index
from recsys.index.base import create as create_index
from recsys.models.base import (
    Family,
    Recommender,
    State,
    Watch,
    Weighting,
    check_choice,
    check_real,
    check_whole,
    query_likes,
    training_likes,
)

_SAMPLE = 1_000
"""Users whose profiles the recall of an index is measured by, at most."""


@dataclass
class Content(Recommender):
    """score(user, item) = cosine of the item's vector and the user's: the sum of those of his likes, recent ones more.

    encoders: a list of {"encoder": name in ENCODERS, "params": {"columns": [...], ...}}; None takes all item features,
    each by the encoder that fits it, see `recsys.encoders.parts.suggested`. weights: one number >= 0 for each encoder
    (None: equal ones), or share: the first one's weight, the others share the rest. dimensions: the combined vectors
    are reduced to so many singular directions (latent semantic analysis, Deerwester et al. 1990); narrower ones stay.

    weighting, decay, window, half_life_days: what a like of the history counts; see `query_likes`.

    index: a name in INDEXES, with its index_params, for catalogues too large to score: lists are then made of what it
    finds. `recall` says how much that is.

    Interactions teach it nothing, so an item that nobody has touched yet is scored like any other. An item of which
    nothing is known is NaN, and so is everything for a user who liked none of the others. Fitting encodes the items; a
    score takes n_items * dimensions operations, memory is 4 n_items * dimensions bytes.
    """

    name: ClassVar[str] = "content"
    family: ClassVar[Family] = "content"
    source: ClassVar[str] = "Rocchio 1971; Pazzani & Billsus 2007"
    needs: ClassVar[tuple[str, ...]] = ("train",)
    scores_new_items: ClassVar[bool] = True
    arrays: ClassVar[Mapping[str, tuple[str, ...]]] = {"item_vectors": ("n_items", "n_dimensions")}

    encoders: list[dict[str, Any]] | None = None
    weights: list[float] | None = None
    share: float | None = None
    dimensions: int = 256
    weighting: Weighting = "binary"
    decay: float = 1.0
    window: int | None = None
    half_life_days: float | None = None
    index: str | None = None
    index_params: dict[str, Any] = field(default_factory=dict)

    _index: Index | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for part in self.encoders or []:
            create_part(part)
        if self.encoders is not None and not self.encoders:
            raise ValueError("content needs at least one encoder; leave `encoders` out to have them chosen")
        if self.weights is not None and self.share is not None:
            raise ValueError("give content either `weights` or `share`, not both")
        if self.share is not None:
            check_real("share", self.share, least=0, most=1)
        check_whole("dimensions", self.dimensions, 1)
        check_choice("weighting", self.weighting, Weighting)
        check_real("decay", self.decay, least=0, most=1, above=True)
        if self.window is not None:
            check_whole("window", self.window, 1)
        if self.half_life_days is not None:
            check_real("half_life_days", self.half_life_days, least=0, above=True)
        if self.index is not None:
            create_index(self.index, **self.index_params)

    def _fit(self, dataset: Dataset, watch: Watch | None) -> None:
        training_likes(dataset, self.weighting)  # without a like there is nobody to make a profile of
        vectors = encoded(dataset.item_features, self.encoders, self.weights, self.share)
        narrow = unit_rows(reduced(vectors, self.dimensions))
        self._learnt = {"item_vectors": np.asarray(narrow, dtype=np.float32)}
        self._index = None
        if self.index is not None:
            users = np.unique(dataset.interactions.user)
            sample = users[:: max(1, len(users) // _SAMPLE)]
            self._index = self._build_index(self._profiles(Queries.of(dataset.interactions, sample)))

    def score(self, queries: Queries) -> NDArray[np.float32]:
        """(n, n_items) cosines; NaN for an empty history and for items without content."""
        vectors = self.state()["item_vectors"]
        scores: NDArray[np.float32] = self._profiles(queries) @ vectors.T
        scores[:, ~vectors.any(axis=1)] = np.nan
        return scores

    @property
    def searches(self) -> bool:
        """Whether there is an index."""
        return self.index is not None

    def nearest(self, queries: Queries, m: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """(n, m) items and cosines by the index; without one, cut from all scores."""
        if self.index is None:
            return super().nearest(queries, m)
        vectors = self.state()["item_vectors"]
        assert self._index is not None
        place, scores = self._index.search(self._profiles(queries), m)
        described = np.flatnonzero(vectors.any(axis=1)).astype(np.int32)
        return np.where(place < 0, np.int32(-1), described[place.clip(min=0)]), scores

    @property
    def recall(self) -> float:
        """The share of the exactly best items that the index finds for profiles of training users; 1 without one."""
        self.state()
        return 1.0 if self._index is None else self._index.recall

    def state(self) -> State:
        """What was learnt; the arrays of the index have names that begin with `index.`."""
        index = {} if self._index is None else self._index.state()
        return super().state() | {f"index.{name}": array for name, array in index.items()}

    def restore(self, state: State) -> Self:
        """Take back what `state` gave; returns self."""
        parts = {name.removeprefix("index."): array for name, array in state.items() if name.startswith("index.")}
        if (self.index is None) != (not parts):
            raise ValueError(f"the state of 'content' with index {self.index!r} holds arrays {sorted(state)}")
        super().restore({name: array for name, array in state.items() if not name.startswith("index.")})
        self._index = None if self.index is None else create_index(self.index, **self.index_params).restore(parts)
        return self

    def _profiles(self, queries: Queries) -> NDArray[np.float32]:
        """(n, n_dimensions) unit vectors of the users; NaN where no described item was liked."""
        vectors = self.state()["item_vectors"]
        histories = query_likes(
            queries,
            len(vectors),
            self.weighting,
            decay=self.decay,
            window=self.window,
            half_life_days=self.half_life_days,
        )
        profiles = np.asarray(unit_rows(histories @ vectors), dtype=np.float32)
        profiles[~profiles.any(axis=1)] = np.nan
        return profiles

    def _build_index(self, profiles: NDArray[np.float32]) -> Index:
        """The index of the described items, measured by these profiles."""
        vectors = self.state()["item_vectors"]
        described = vectors.any(axis=1)
        if not described.any():
            raise ValueError("no item has any content: there is nothing to index; check the columns of the encoders")
        assert self.index is not None
        known = profiles[~np.isnan(profiles).any(axis=1)]
        return create_index(self.index, **self.index_params).build(vectors[described], known if len(known) else None)

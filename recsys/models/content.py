"""Content: items as what is known of them, a user as what he liked. The one family that serves an item's first day."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.data.queries import Queries
from recsys.encoders.combine import reduced, unit_rows
from recsys.encoders.parts import create_part, encoded
from recsys.models.base import (
    Family,
    Watch,
    Weighting,
    check_choice,
    check_real,
    check_whole,
    query_likes,
    training_likes,
)
from recsys.models.indexed import Indexed


@dataclass
class Content(Indexed):
    """score(user, item) = cosine of the item's vector and the user's: the sum of those of his likes, recent ones more.

    encoders: a list of {"encoder": name in ENCODERS, "params": {"columns": [...], ...}}; None takes all item features,
    each by the encoder that fits it, see `recsys.encoders.parts.suggested`. weights: one number >= 0 for each encoder
    (None: equal ones), or share: the first one's weight, the others share the rest. dimensions: the combined vectors
    are reduced to so many singular directions (latent semantic analysis, Deerwester et al. 1990); narrower ones stay.

    weighting, decay, window, half_life_days: what a like of the history counts; see `query_likes`.

    index, index_params: for catalogues too large to score; see `Indexed`.

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
        self._check_index()

    def _fit(self, dataset: Dataset, watch: Watch | None) -> None:
        training_likes(dataset, self.weighting)  # without a like there is nobody to make a profile of
        vectors = encoded(dataset.item_features, self.encoders, self.weights, self.share)
        narrow = unit_rows(reduced(vectors, self.dimensions))
        self._learnt = {"item_vectors": np.asarray(narrow, dtype=np.float32)}
        self._build_index(dataset)

    def score(self, queries: Queries) -> NDArray[np.float32]:
        """(n, n_items) cosines; NaN for an empty history and for items without content."""
        vectors = self.state()["item_vectors"]
        scores: NDArray[np.float32] = self._user_vectors(queries) @ vectors.T
        scores[:, ~vectors.any(axis=1)] = np.nan
        return scores

    def _item_vectors(self) -> NDArray[np.float32]:
        vectors: NDArray[np.float32] = self.state()["item_vectors"]
        return vectors

    def _user_vectors(self, queries: Queries) -> NDArray[np.float32]:
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

"""How near an item lies to a history, in vectors: of what is written about items, or of who likes them."""

from abc import abstractmethod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys.compiled import compiled
from recsys.encoders.combine import reduced, unit_rows
from recsys.encoders.parts import encoded
from recsys.hybrid.features.base import Floats, Group, Past, Rows
from recsys.models.base import State, likes

DIMENSIONS = 48
FADE = 0.8
"""What a row of the history counts for each row after it."""
RECENT = 10
"""Rows at the end of a history to which the nearest one is sought."""


class Similarity(Group):
    """Cosines of the item's vector with the history as a whole, its end, its last and its nearest item."""

    about: ClassVar[str]
    """What the vectors are made of, in words."""

    @abstractmethod
    def _vectors(self, past: Past) -> NDArray[np.floating] | None:
        """(n_items, d), zeros for an item of which nothing is known; None when the data set has nothing for it."""

    def _fit(self, past: Past) -> State:
        vectors = self._vectors(past)
        if vectors is None:
            return {"vectors": np.zeros((past.n_items, 0), np.float32), "known": np.zeros(past.n_items, bool)}
        unit = np.ascontiguousarray(unit_rows(vectors), np.float32)
        return {"vectors": unit, "known": np.asarray(unit.any(axis=1))}

    def describe(self) -> dict[str, str]:
        """Six features, or none."""
        if self.learnt["vectors"].shape[1] == 0:
            return {}
        return {
            f"{self.name}_all": f"cosine of the item with the whole history (by weight), in {self.about}",
            f"{self.name}_recent": f"cosine with the history, a row counting {FADE} for each row after it",
            f"{self.name}_last": "cosine with the last item",
            f"{self.name}_max": f"largest cosine with any of the last {RECENT} items",
            f"{self.name}_mean": f"mean cosine with the last {RECENT} items",
            f"{self.name}_focus": "length of the mean of the history's unit vectors: 1 for a single taste",
        }

    def compute(self, rows: Rows) -> Floats:
        """(c, 6) cosines; NaN without a history, and for an item of which nothing is known."""
        vectors = self.learnt["vectors"]
        if vectors.shape[1] == 0:
            return np.zeros((len(rows.item), 0), np.float32)
        found: Floats = compiled(_cosines)(
            rows.queries.indptr,
            rows.queries.items,
            rows.row_weight,
            vectors,
            self.learnt["known"],
            rows.candidates.indptr,
            rows.item,
        )
        return found


class Content(Similarity):
    """Vectors of all that is known of the items: texts, labels, numbers, each by the encoder that fits it."""

    name: ClassVar[str] = "content"
    about: ClassVar[str] = "what is written about them"
    wants: ClassVar[str] = "features of the items, such as `text` or `category`"

    def _vectors(self, past: Past) -> NDArray[np.floating] | None:
        features = past.dataset.item_features
        return reduced(encoded(features, None), DIMENSIONS) if features else None


class Latent(Similarity):
    """Vectors of the items in the leading singular directions of who likes what, each like over both square roots."""

    name: ClassVar[str] = "latent"
    about: ClassVar[str] = "who likes them"

    def _vectors(self, past: Past) -> NDArray[np.floating] | None:
        liked = likes(past.dataset.interactions.csr(), "binary")
        users, items = (np.asarray(liked.sum(axis=axis)).ravel().clip(min=1) for axis in (1, 0))
        data = 1 / np.sqrt(np.repeat(users, np.diff(liked.indptr)) * items[liked.indices])
        return reduced(csr_matrix((data, liked.indices, liked.indptr), shape=liked.shape).T.tocsr(), DIMENSIONS)


def _cosines(
    indptr: NDArray[np.int64],
    items: NDArray[np.int32],
    weight: NDArray[np.float64],
    vectors: Floats,
    known: NDArray[np.bool_],
    candidate_indptr: NDArray[np.int64],
    candidates: NDArray[np.int32],
) -> Floats:
    """(c, 6) the features of each candidate; NaN for a history of no direction, and but for the last for no item."""
    found = np.full((len(candidates), 6), np.nan, np.float32)
    width = vectors.shape[1]
    whole, recent = np.zeros(width), np.zeros(width)
    # beside each other: the whole, its end, the last item, the last items
    profiles = np.zeros((width, 3 + RECENT), np.float32)
    for query in range(len(indptr) - 1):
        start, stop = indptr[query], indptr[query + 1]
        if start == stop:
            continue
        whole[:], recent[:], profiles[:], total = 0.0, 0.0, 0.0, 0.0
        for row in range(start, stop):
            own, faded = weight[row], weight[row] * FADE ** (stop - 1 - row)
            total += own
            for at in range(width):
                whole[at] += own * vectors[items[row], at]
                recent[at] += faded * vectors[items[row], at]
        length, length_recent = np.sqrt((whole * whole).sum()), np.sqrt((recent * recent).sum())
        near = min(RECENT, stop - start)
        for at in range(width):
            profiles[at, 0] = whole[at] / length if length > 0 else np.nan
            profiles[at, 1] = recent[at] / length_recent if length_recent > 0 else np.nan
            profiles[at, 2] = vectors[items[stop - 1], at]
            for place in range(near):
                profiles[at, 3 + place] = vectors[items[stop - near + place], at]
        first, end = candidate_indptr[query], candidate_indptr[query + 1]
        products = np.dot(vectors[candidates[first:end]], profiles)  # BLAS: five times as fast as loops
        for pair in range(first, end):
            if total > 0:
                found[pair, 5] = length / total
            if known[candidates[pair]]:
                own = products[pair - first]
                found[pair, :3] = own[:3]
                found[pair, 3], found[pair, 4] = own[3 : 3 + near].max(), own[3 : 3 + near].mean()
    return found

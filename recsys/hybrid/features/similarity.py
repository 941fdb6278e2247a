"""How near an item lies to a history, in vectors: of what is written about items, or of who likes them."""

from abc import abstractmethod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys.encoders.combine import reduced, unit_rows
from recsys.encoders.parts import encoded
from recsys.hybrid.features.base import Floats, Group, Past, Rows, columns, ratio
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
        of_item = vectors[rows.item]
        weight = rows.row_weight
        whole, recent = (rows.sums(vectors, w) for w in (weight, weight * FADE**rows.row_age))
        last = np.where((rows.last_item >= 0)[:, None], vectors[rows.last_item.clip(min=0)], np.float32(np.nan))
        cosines = [np.einsum("cd,cd->c", unit[rows.query], of_item) for unit in (_unit(whole), _unit(recent), last)]
        total = rows.total(weight)
        focus = ratio(np.linalg.norm(whole, axis=1), total)
        table = columns(*cosines, *_nearest(rows, vectors, of_item), focus[rows.query])
        table[~self.learnt["known"][rows.item], :5] = np.nan
        return table


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


def _unit(profiles: Floats) -> Floats:
    """The rows at length 1; NaN where there is nothing."""
    return ratio(profiles, np.linalg.norm(profiles, axis=1, keepdims=True)).astype(np.float32)


def _nearest(rows: Rows, vectors: Floats, of_item: Floats) -> tuple[Floats, Floats]:
    """(c,) the largest and the mean cosine of each item with the last RECENT items of its history."""
    most, mean = (np.full(len(of_item), np.nan, np.float32) for _ in range(2))
    ends, bounds = rows.queries.indptr, rows.candidates.indptr
    for query in np.flatnonzero(rows.length > 0):
        pairs = slice(bounds[query], bounds[query + 1])
        recent = rows.queries.items[max(ends[query], ends[query + 1] - RECENT) : ends[query + 1]]
        cosines = of_item[pairs] @ vectors[recent].T
        most[pairs], mean[pairs] = cosines.max(axis=1), cosines.mean(axis=1)
    return most, mean

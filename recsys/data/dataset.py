"""Dataset: interactions, their vocabularies and what is known of users and items."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from recsys.data.interactions import Interactions
from recsys.data.vocabulary import Vocabulary

Features = Mapping[str, NDArray[Any]]
"""Column name -> values, one row per number of the vocabulary: (n,) text or numbers, or (n, d) vectors."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """What a model is fitted on.

    users, items: the vocabularies that every split shares; item_features, user_features: columns of n_items and
    n_users rows. A column `title` of the items, when there is one, is what people are shown.
    """

    name: str
    interactions: Interactions
    users: Vocabulary
    items: Vocabulary
    item_features: Features = field(default_factory=dict)
    user_features: Features = field(default_factory=dict)

    def __post_init__(self) -> None:
        shape = (self.interactions.n_users, self.interactions.n_items)
        if shape != (len(self.users), len(self.items)):
            raise ValueError(f"interactions are {shape}, vocabularies are {(len(self.users), len(self.items))}")
        for side, features, n in (
            ("item", self.item_features, len(self.items)),
            ("user", self.user_features, len(self.users)),
        ):
            for column, values in features.items():
                if len(values) != n:
                    raise ValueError(f"{side} feature {column!r} has {len(values)} rows, expected {n}")

    def keep(self, interactions: Interactions) -> Self:
        """The same users, items and features with other interactions."""
        return replace(self, interactions=interactions)

    @cached_property
    def fingerprint(self) -> str:
        """A hash of everything in the data set (16 hexadecimal digits): equal data, equal fingerprint."""
        digest = hashlib.sha256(f"{self.users.fingerprint}{self.items.fingerprint}".encode())
        rows = self.interactions
        digest.update(",".join(rows.kinds).encode())
        for array in (rows.user, rows.item, rows.weight, rows.time.astype(np.int64), rows.kind):
            digest.update(np.ascontiguousarray(array).tobytes())
        for features in (self.item_features, self.user_features):
            for column in sorted(features):
                values = np.ascontiguousarray(features[column])
                text = values.dtype.kind in "OU"
                digest.update(column.encode())
                digest.update("\x1f".join(map(str, values.ravel())).encode() if text else values.tobytes())
        return digest.hexdigest()[:16]

"""Vocabulary: outside ids <-> 0..n-1."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

UNKNOWN = -1
"""The number of an id that the vocabulary does not hold."""


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The outside ids of users or items; an id's number is its place.

    ids: (n,) text, sorted, unique. Ids are always text outside (an integer 7 is "7"), so that a log, a URL and a
    hash agree on them.
    """

    ids: NDArray[np.str_]

    def __post_init__(self) -> None:
        if self.ids.ndim != 1 or self.ids.dtype.kind != "U":
            raise ValueError(f"ids must be a vector of text, got shape {self.ids.shape} of {self.ids.dtype}")
        if len(self.ids) > 1 and not bool((self.ids[1:] > self.ids[:-1]).all()):
            raise ValueError("ids must be sorted and unique; Vocabulary.of(ids) makes them so")

    @classmethod
    def of(cls, ids: Iterable[Any] | NDArray[Any]) -> Self:
        """The vocabulary of the distinct ids, whatever their order.

        >>> Vocabulary.of([3, "b", 3]).numbers(["b", 3, "x"]).tolist()
        [1, 0, -1]
        """
        return cls(np.unique(as_text(ids)))

    def __len__(self) -> int:
        return len(self.ids)

    def numbers(self, ids: Iterable[Any] | NDArray[Any]) -> NDArray[np.int32]:
        """The number of each id, (m,) int32; -1 for an unknown one."""
        wanted = as_text(ids)
        if len(self) == 0:
            return np.full(len(wanted), UNKNOWN, dtype=np.int32)
        # cut to the width of the ids, or numpy would copy all of them to that of a longer one, which is unknown anyway
        place = np.searchsorted(self.ids, wanted.astype(self.ids.dtype)).clip(max=len(self) - 1)
        return np.where(self.ids[place] == wanted, place, UNKNOWN).astype(np.int32)

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the ids and their order (16 hexadecimal digits)."""
        return hashlib.sha256("\x1f".join(self.ids.tolist()).encode()).hexdigest()[:16]


def as_text(ids: Iterable[Any] | NDArray[Any]) -> NDArray[np.str_]:
    """Ids as a vector of text: integers in decimal, text as it is."""
    array = ids if isinstance(ids, np.ndarray) else np.array([str(i) for i in ids], dtype=np.str_)
    return array.astype(np.str_) if array.dtype.kind != "U" else array

"""Vectors that somebody else made, such as image embeddings: checked and handed on."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from recsys.data.dataset import Features
from recsys.encoders.base import Encoder
from recsys.encoders.combine import side_by_side, unit_rows


@dataclass(frozen=True)
class Vectors(Encoder):
    """Columns of (n, d) numbers as they are, side by side; a row that is all NaN has no vector, which is zeros here.

    Several columns weigh the same: each is brought to unit length first.
    """

    name: ClassVar[str] = "vectors"

    def _encode(self, features: Features) -> NDArray[np.floating]:
        checked = [_checked(name, column) for name, column in features.items()]
        return checked[0] if len(checked) == 1 else np.asarray(side_by_side([unit_rows(v) for v in checked]))


def _checked(name: str, column: NDArray[Any]) -> NDArray[np.floating]:
    """The column as finite floats of its own; refuses what is no table of vectors, naming the row."""
    if column.ndim != 2 or column.dtype.kind not in "fiu" or column.shape[1] == 0:
        raise ValueError(
            f"column {name!r} of encoder 'vectors' must be (n, d) numbers, got {column.dtype} of shape {column.shape}; "
            "text is for tfidf or sentence, single numbers and labels are for attributes"
        )
    values: NDArray[np.floating] = column.astype(np.float64 if column.dtype == np.float64 else np.float32)
    missing = np.isnan(values)
    _refuse(name, missing.any(axis=1) & ~missing.all(axis=1), "is NaN in part; an item without a vector is NaN in all")
    values[missing] = 0.0
    _refuse(name, ~np.isfinite(values).all(axis=1), "has an infinite number; vectors are finite")
    return values


def _refuse(name: str, bad: NDArray[np.bool_], why: str) -> None:
    if bad.any():
        raise ValueError(f"column {name!r} of encoder 'vectors': row {bad.argmax()} {why} ({bad.sum():,} such rows)")

"""Attributes: labels as sets, numbers as places on an arc."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys.data.dataset import Features
from recsys.encoders.base import Encoded, Encoder, words_of
from recsys.encoders.combine import side_by_side, unit_rows

_REACH = 2.0
"""Robustly scaled numbers beyond this are taken for this: an outlier is far away, however far."""


@dataclass(frozen=True)
class Attributes(Encoder):
    """Each column as unit vectors, side by side, so that each weighs the same.

    Text is labels, separated by `separator` inside a cell as in `Action|Comedy`: one dimension per label. With
    `rare_labels` a label counts log(n / rows that have it) + 1 instead of 1. Numbers, truth values and times are
    scaled robustly, s = (x - median) / interquartile range, clipped to -2..2, and laid on a half circle:
    (cos, sin)(s pi / 4). The cosine of two numbers then falls with their distance, from 1 for equal ones over .7 for
    one interquartile range apart to -1 for the two ends; a plain coordinate would only tell which side of the median.
    NaN, NaT, None and "" are zeros.
    """

    name: ClassVar[str] = "attributes"

    separator: str = "|"
    rare_labels: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.separator, str) or not self.separator:
            raise ValueError(f"separator of encoder 'attributes' must be a text such as '|', got {self.separator!r}")

    def _encode(self, features: Features) -> Encoded:
        return side_by_side([self._block(name, column) for name, column in features.items()])

    def _block(self, name: str, column: NDArray[Any]) -> csr_matrix:
        if column.ndim != 1:
            raise ValueError(
                f"column {name!r} of encoder 'attributes' must have one value per row, got shape {column.shape}; "
                "vectors are for the encoder 'vectors'"
            )
        if column.dtype.kind in "OUS":
            return self._labels(column)
        return csr_matrix(on_arc(robustly_scaled(name, column)))

    def _labels(self, column: NDArray[Any]) -> csr_matrix:
        """(n, n_labels), rows of unit length."""
        cells = words_of(column)
        pairs = [(row, label.strip()) for row, cell in enumerate(cells) for label in cell.split(self.separator)]
        kept = [(row, label) for row, label in pairs if label]
        labels, place = np.unique([label for _, label in kept], return_inverse=True)
        rows = np.array([row for row, _ in kept], dtype=np.int64)
        matrix = csr_matrix((np.ones(len(rows)), (rows, place)), shape=(len(cells), max(1, len(labels))))
        matrix.data[:] = 1.0  # a label named twice is still one label
        if self.rare_labels:
            matrix.data = (np.log(len(cells) / matrix.getnnz(axis=0).clip(min=1)) + 1)[matrix.indices]
        return csr_matrix(unit_rows(matrix))


def robustly_scaled(name: str, column: NDArray[Any]) -> NDArray[np.float64]:
    """(n,) how many interquartile ranges from the median; NaN where missing.

    Where half of the rows are equal the unit is the largest distance instead; a column of one value is all 0.
    """
    is_time = column.dtype.kind == "M"
    values: NDArray[np.float64] = (column.astype("datetime64[s]") if is_time else column).astype(np.float64)
    if is_time:
        values[np.isnat(column)] = np.nan
    there = values[~np.isnan(values)]
    if not np.isfinite(there).all():
        raise ValueError(f"column {name!r} has an infinite number; a missing number is NaN")
    if len(there) == 0:
        return values
    low, median, high = np.percentile(there, [25, 50, 75])
    unit = float(high - low or np.abs(there - median).max() or 1.0)
    scaled: NDArray[np.float64] = (values - median) / unit
    return scaled


def on_arc(scaled: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 2) points of the half circle; zeros for NaN."""
    angle = scaled.clip(-_REACH, _REACH) * (np.pi / 2 / _REACH)
    points: NDArray[np.float64] = np.nan_to_num(np.column_stack([np.cos(angle), np.sin(angle)]))
    return points

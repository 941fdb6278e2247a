"""Moments: a sample reduced once to its size, means and centred products; parts merge to the whole."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Moments:
    """n (...), mean (..., p) and comoment (..., p, p) = sum of (x - mean)(x - mean)' over the units.

    The leading axes (...) are empty for one sample, or run over many samples: days, segments, simulated experiments.
    Sums are centred, never raw: a mean of 1e9 with unit variance loses nothing. A column that is not there is the
    constant 1 (`of_column`, `product`), so a mean is a ratio whose denominator nobody had to write down. Where n is 0
    the mean is 0 by convention, so that parts merge; what is read from it is NaN.

    >>> parts = Moments.of(("numerator",), [[1.0], [2.0]]) + Moments.of(("numerator",), [[6.0]])
    >>> int(parts.n), parts.mean.tolist(), parts.comoment.tolist()
    (3, [3.0], [[14.0]])
    """

    columns: tuple[str, ...]
    n: NDArray[np.int64]
    mean: Array
    comoment: Array

    def __post_init__(self) -> None:
        set_field = object.__setattr__  # frozen: the arrays are brought to one shape and type here, once
        set_field(self, "columns", tuple(self.columns))
        set_field(self, "n", np.asarray(self.n, dtype=np.int64))
        set_field(self, "mean", np.asarray(self.mean, dtype=np.float64))
        set_field(self, "comoment", np.asarray(self.comoment, dtype=np.float64))
        p = len(self.columns)
        expected = (*self.n.shape, p), (*self.n.shape, p, p)
        if (self.mean.shape, self.comoment.shape) != expected:
            raise ValueError(
                f"moments of {p} columns and n of shape {self.n.shape} need mean and comoment of shapes {expected}, "
                f"got {self.mean.shape} and {self.comoment.shape}"
            )
        if len(set(self.columns)) < p:
            raise ValueError(f"columns must differ, got {self.columns}")
        if (self.n < 0).any():
            raise ValueError(f"n must be >= 0, got {self.n.min()}")

    @classmethod
    def of(cls, columns: Sequence[str], values: ArrayLike) -> Self:
        """The moments of values (..., n, p): one row per unit, one column per name."""
        values = np.asarray(values, dtype=np.float64)
        if values.ndim < 2 or values.shape[-1] != len(columns):
            raise ValueError(
                f"values must have shape (..., n, {len(columns)}) for {tuple(columns)}, got {values.shape}"
            )
        n = values.shape[-2]
        size = np.full(values.shape[:-2], n, dtype=np.int64)
        first = values.sum(axis=-2) / max(n, 1)
        centred = values - first[..., None, :]
        # the second pass takes back what the mean lost in rounding, which matters when the mean dwarfs the spread
        left = centred.sum(axis=-2) / max(n, 1)
        products = centred.swapaxes(-1, -2) @ centred
        return cls(tuple(columns), size, first + left, products - n * left[..., :, None] * left[..., None, :])

    @classmethod
    def merged(cls, parts: Sequence[Self]) -> Self:
        """The moments of all parts together."""
        return reduce(lambda one, other: one + other, parts)

    def __add__(self, other: Self) -> Self:
        """The moments of both samples together (Chan, Golub and LeVeque 1983; Pebay 2008)."""
        if self.columns != other.columns:
            raise ValueError(f"only the same columns merge, got {self.columns} and {other.columns}")
        n = self.n + other.n
        share = other.n / np.maximum(n, 1)
        gap = other.mean - self.mean
        between = (self.n * share)[..., None, None] * gap[..., :, None] * gap[..., None, :]
        # from the larger side, so that merging with nothing changes no bit
        swap = other.n > self.n
        base, step = np.where(swap[..., None], other.mean, self.mean), np.where(swap, share - 1.0, share)
        mean = base + step[..., None] * gap
        return type(self)(self.columns, n, mean, self.comoment + other.comoment + between)

    def __getitem__(self, index: int | slice | tuple[int | slice, ...]) -> Self:
        """One sample, or some, of many."""
        return type(self)(self.columns, self.n[index], self.mean[index], self.comoment[index])

    def select(self, *columns: str) -> Self:
        """Only these columns, in this order."""
        places = [self.columns.index(column) for column in columns]
        return type(self)(columns, self.n, self.mean[..., places], self.comoment[..., places, :][..., places])

    def of_column(self, name: str) -> Array:
        """The mean of a column; 1 where there is no such column; NaN where there are no units."""
        found = self.mean[..., self.columns.index(name)] if name in self.columns else np.ones(self.n.shape)
        return np.where(self.n > 0, found, np.nan)

    def product(self, first: str, second: str) -> Array:
        """The centred sum of products of two columns; 0 where one is not there, being constant."""
        if first not in self.columns or second not in self.columns:
            return np.zeros(self.n.shape)
        return self.comoment[..., self.columns.index(first), self.columns.index(second)]


def stack(samples: Sequence[Moments]) -> Moments:
    """Many samples of the same columns as one Moments with a new leading axis."""
    if not samples:
        raise ValueError("stack needs at least one sample, got none")
    return Moments(
        samples[0].columns,
        np.stack([sample.n for sample in samples]),
        np.stack([sample.mean for sample in samples]),
        np.stack([sample.comoment for sample in samples]),
    )

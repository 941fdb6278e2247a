"""What every encoder is: columns of features in, one vector per row out, in which like rows point the same way."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from bakeoff.catalogue import check_name, lookup
from recsys.data.dataset import Features
from recsys.data.parameters import check_parameters
from recsys.encoders import ENCODERS

Encoded = csr_matrix | NDArray[np.floating]
"""(n, d) vectors, sparse or dense."""


@dataclass(frozen=True)
class Encoder(ABC):
    """The contract of an encoder. A subclass is a frozen dataclass: its fields are its parameters.

    It keeps nothing: the same columns give the same vectors. Rows of which the columns say nothing are all zero, so
    whoever compares directions can tell "unknown" from "unlike". Features of users are encoded in the same way.
    """

    name: ClassVar[str]
    """The encoder's name in ENCODERS."""

    columns: Sequence[str]

    def __post_init__(self) -> None:
        if isinstance(self.columns, str) or not self.columns or not all(isinstance(c, str) for c in self.columns):
            raise ValueError(
                f"columns of encoder {self.name!r} must be a list of one or more names, got {self.columns!r}"
            )

    def encode(self, features: Features) -> Encoded:
        """(n, d) vectors of the rows of the columns; a column that `features` lacks is refused by name."""
        for column in self.columns:
            check_name(features, column, "feature")
        return self._encode({column: features[column] for column in self.columns})

    @abstractmethod
    def _encode(self, features: Features) -> Encoded:
        """The mathematics of `encode`: all of the columns given are meant."""


def create(name: str, **params: Any) -> Encoder:
    """The encoder that ENCODERS registers under `name`; an unknown parameter is refused by name."""
    kind: type[Encoder] = lookup(ENCODERS, name, "encoder")
    check_parameters(kind, params, f"encoder {name!r}")
    return kind(**params)


def params(encoder: Encoder) -> dict[str, Any]:
    """The parameters by which `create(encoder.name, **params)` makes the same encoder; JSON can carry them."""
    return {f.name: getattr(encoder, f.name) for f in fields(encoder)}


def words_of(column: NDArray[Any]) -> list[str]:
    """The cells as text, "" for a missing one."""
    return ["" if cell is None or cell != cell else str(cell).strip() for cell in column.tolist()]


def texts_of(features: Features) -> list[str]:
    """Each row's cells of all columns as one text."""
    rows = zip(*(words_of(column) for column in features.values()), strict=True)
    return [" ".join(filter(None, cells)) for cells in rows]

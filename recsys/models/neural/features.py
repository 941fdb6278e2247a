"""What the features of users and items say, as numbers for a network. Types of columns are inferred here, once."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys.data.dataset import Features
from recsys.encoders.combine import reduced
from recsys.encoders.parts import create_part, encoded, suggested

Floats = NDArray[np.float32]


def content(features: Features, n: int, dimensions: int) -> Floats:
    """(n, dimensions) all columns, each by the encoder that fits it, in that many singular directions.

    Filled up with zeros where the columns have fewer, so that the width does not depend on what is in them; (n, 0)
    without columns. A row of which nothing is known is all zero.
    """
    if not features:
        return np.zeros((n, 0), np.float32)
    vectors = reduced(encoded(features, None), dimensions)
    filled = np.zeros((n, dimensions), np.float32)
    filled[:, : vectors.shape[1]] = vectors
    return filled


@dataclass(frozen=True, kw_only=True, eq=False)
class Attributes:
    """The categorical and numeric columns of n users or items. Texts of their own and vectors are left to `content`.

    labels (n, n_labels): 1 / sqrt(number of labels in the cell) where a row has the label, columns side by side;
    numbers (n, 2 per column): scaled robustly and laid on an arc, see the encoder `attributes`. Missing ("", NaN) is 0.
    """

    labels: Floats
    numbers: Floats

    @classmethod
    def of(cls, features: Features, n: int, most: int) -> Self:
        """Read them; of all labels the `most` frequent are kept (ties by column and label)."""
        parts = {part["encoder"]: part["params"]["columns"] for part in suggested(features)}
        columns = parts.get("attributes", [])
        words = [column for column in columns if features[column].dtype.kind in "OUS"]
        labels = _encoded(features, words, n)
        counts = labels.getnnz(axis=0)
        frequent = np.argsort(-counts, kind="stable")[:most]
        kept = np.sort(frequent[counts[frequent] > 0])
        numbers = _encoded(features, [column for column in columns if column not in words], n)
        return cls(labels=labels[:, kept].toarray(), numbers=numbers.toarray())


def _encoded(features: Features, columns: list[str], n: int) -> csr_matrix:
    if not columns:
        return csr_matrix(np.zeros((n, 0), np.float32))
    block: Any = create_part({"encoder": "attributes", "params": {"columns": columns}}).encode(features)
    return csr_matrix(block, dtype=np.float32)

"""What makes two items alike, and how unlike the items of a list are: the ground of MMR and DPP."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys.data.dataset import Dataset
from recsys.data.recommendations import Recommendations
from recsys.encoders.combine import reduced, unit_rows
from recsys.encoders.parts import create_part, encoded
from recsys.metrics.item_vectors import DIMENSIONS, collaborative_vectors, item_vectors
from recsys.models.base import check_choice
from recsys.rerank.base import Measures, State
from recsys.rerank.blended import Blended

Likeness = Literal["auto", "content", "collaborative"]


@dataclass
class Diversifier(Blended):
    """Two items are as alike as the cosine of their vectors; an item without a vector is like nothing.

    vectors: `auto` takes those by which the metric `diversity` judges (label columns, else texts, else who touched
    what); `content` all item features, or those of `encoders`, given as for the model `content`; `collaborative` who
    touched what, whatever the features.
    """

    arrays: ClassVar[Mapping[str, tuple[str, ...]]] = {"vectors": ("n_items", "n_dimensions")}

    vectors: Likeness = "auto"
    encoders: list[dict[str, Any]] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice(f"vectors of reranker {self.name!r}", self.vectors, Likeness)
        if self.encoders is not None and self.vectors != "content":
            raise ValueError(f"encoders of reranker {self.name!r} are for vectors: content, got {self.vectors!r}")
        for part in self.encoders or []:
            create_part(part)

    def _fit(self, dataset: Dataset) -> State:
        if self.vectors == "auto":
            values: NDArray[np.floating] = item_vectors(dataset).values
        elif self.vectors == "content":
            values = reduced(encoded(dataset.item_features, self.encoders), DIMENSIONS)
        else:
            values = collaborative_vectors(dataset.interactions)
        return {"vectors": np.ascontiguousarray(unit_rows(values), dtype=np.float32)}

    def measures(self, recommendations: Recommendations) -> Measures:
        """Mean of 1 - cosine over the pairs of each list that have vectors; NaN with fewer than two such items."""
        vectors: NDArray[np.float32] = self.state()["vectors"]
        items = recommendations.items
        described = np.asarray(vectors.any(axis=1))
        listed = (items >= 0) & described[items]
        size = listed.sum(axis=1)
        starts = np.append(0, np.cumsum(size))
        lists = csr_matrix((np.ones(starts[-1]), items[listed], starts), shape=(len(items), len(vectors)))
        total = lists @ vectors.astype(np.float64)
        cosines: NDArray[np.float64] = np.einsum("nd,nd->n", total, total) - size  # twice those of the pairs
        pairs = size * (size - 1)
        mean = np.divide(cosines, pairs, out=np.full(len(size), np.nan), where=pairs > 0)
        return {"diversity": np.clip(1 - mean, 0, 2)}

"""PureSVD: a history projected on the main directions of the matrix of likes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys.data.dataset import Dataset
from recsys.models.base import Family, Watch, check_whole, training_likes
from recsys.models.sparse import sums
from recsys.models.spectral import SpectralModel, right_singular_vectors


@dataclass
class PureSVD(SpectralModel):
    """scores = history V V^T, where V are the items' singular vectors of the `factors` largest singular values.

    Cremonesi, Koren & Turrin 2010: every missing pair counts as a plain 0. More factors than the matrix has rank are
    not kept. Fitting costs some twenty products of the likes with `factors` columns, a score
    n_items * factors; memory n_items * factors.
    """

    name: ClassVar[str] = "pure_svd"
    family: ClassVar[Family] = "spectral"
    source: ClassVar[str] = "Cremonesi, Koren & Turrin 2010"
    arrays: ClassVar[Mapping[str, tuple[str, ...]]] = {"vectors": ("n_items", "rank"), "known_items": ("n_items",)}

    factors: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole("factors", self.factors, 1)
        check_whole("seed", self.seed, 0)

    def _fit(self, dataset: Dataset, watch: Watch | None) -> None:
        likes = training_likes(dataset, self.weighting)
        vectors = right_singular_vectors(likes, self.factors, self.seed)
        self._learnt = {"vectors": vectors, "known_items": sums(likes, axis=0) > 0}

    def _filter(self, histories: csr_matrix) -> NDArray[np.float32]:
        vectors = self.state()["vectors"]
        scores: NDArray[np.float32] = (histories @ vectors) @ vectors.T
        return scores

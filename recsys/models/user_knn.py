"""User-kNN: users are alike who like the same items; a user gets what those most like him like."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys.data.dataset import Dataset
from recsys.data.queries import Queries
from recsys.models.base import (
    Family,
    Recommender,
    Watch,
    Weighting,
    check_choice,
    check_real,
    check_whole,
    query_likes,
    training_likes,
)
from recsys.models.sparse import cosines, nearest, sums, with_data

Similarity = Literal["cosine", "tfidf"]


@dataclass
class UserKNN(Recommender):
    """score(user, item) = sum over his nearest training users of similarity ** power * like of the item.

    Herlocker et al. 1999, for implicit feedback. similarity: `cosine`, the product of two histories divided by
    |a| |b| + shrink; `tfidf`, with each item's likes multiplied by idf = log(n_users / (1 + its users)): to share a
    hit says little. A user is compared by the history in his query, so one who is unknown in training is served like
    any other; a known one is not his own neighbour. Ties between neighbours go to the lower number.

    The query's likes count decay ** age when there is a decay below 1: see `query_likes`. An item that no neighbour
    likes is NaN.

    Fitting copies the likes. A score costs the likes on the items of the history, n_users to choose, and the
    neighbours' likes: it grows with the number of users, unlike item-kNN.
    """

    name: ClassVar[str] = "user_knn"
    family: ClassVar[Family] = "neighbourhood"
    source: ClassVar[str] = "Herlocker et al. 1999"
    needs: ClassVar[tuple[str, ...]] = ("train",)
    arrays: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "indptr": ("n_users + 1",),
        "indices": ("n_likes",),
        "likes": ("n_likes",),
        "idf": ("n_items",),
    }

    neighbours: int = 100
    similarity: Similarity = "cosine"
    weighting: Weighting = "binary"
    shrink: float = 0.0
    power: float = 1.0
    decay: float = 1.0

    def __post_init__(self) -> None:
        check_whole("neighbours", self.neighbours, 1)
        check_choice("similarity", self.similarity, Similarity)
        check_choice("weighting", self.weighting, Weighting)
        check_real("shrink", self.shrink, least=0)
        check_real("power", self.power, least=0)
        check_real("decay", self.decay, least=0, most=1, above=True)

    def _fit(self, dataset: Dataset, watch: Watch | None) -> None:
        likes = training_likes(dataset, self.weighting)
        n_users, n_items = likes.shape
        idf = np.ones(n_items, np.float32)
        if self.similarity == "tfidf":
            idf = np.log(n_users / (1 + np.bincount(likes.indices, minlength=n_items))).clip(min=0).astype(np.float32)
        self._learnt = {"indptr": likes.indptr, "indices": likes.indices, "likes": likes.data, "idf": idf}

    def score(self, queries: Queries) -> NDArray[np.float32]:
        """(n, n_items) what the neighbours like, weighted by how near they are; NaN where none likes the item."""
        learnt = self.state()
        idf = learnt["idf"]
        shape = (len(learnt["indptr"]) - 1, len(idf))
        likes = csr_matrix((learnt["likes"], learnt["indices"], learnt["indptr"]), shape=shape)
        histories = query_likes(queries, len(idf), self.weighting, decay=self.decay)
        near = self._nearest_users(_times(histories, idf), _times(likes, idf), queries.users)
        scores: NDArray[np.float32] = (near @ likes).toarray()
        scores[scores == 0] = np.nan
        return scores

    def _nearest_users(self, histories: csr_matrix, users: csr_matrix, own: NDArray[np.int32]) -> csr_matrix:
        """(n, n_users) the similarities to the power, of those who are near enough."""
        left, right = (np.sqrt(sums(side.multiply(side), axis=1)) for side in (histories, users))
        near = nearest(histories, users.T.tocsr(), self.neighbours, cosines(left, right, self.shrink), own=own)
        near.data **= np.float32(self.power)
        return near


def _times(matrix: csr_matrix, factors: NDArray[np.float32]) -> csr_matrix:
    """The matrix with each column multiplied by its factor."""
    return with_data(matrix, matrix.data * factors[matrix.indices])

"""Rating-kNN: what a user would rate an item, from deviations from means. The classic formulas for explicit ratings."""

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
    check_choice,
    check_real,
    check_whole,
)
from recsys.models.ratings import query_ratings, training_ratings
from recsys.models.sparse import rows_of, sums, with_data
from recsys.ranking import top_k

Similarity = Literal["pearson", "adjusted_cosine", "cosine"]

_BLOCK_CELLS = 1 << 23
"""Similarities held at once, five matrices of them."""
_TINY = np.finfo(np.float32).tiny

Floats = NDArray[np.float32]


@dataclass
class _RatingKNN(Recommender):
    """What both sides share: parameters, and the similarity of two vectors of ratings.

    A weight is a rating; the latest one of a user for an item counts, and only a weight > 0 is one.
    """

    neighbours: int = 40
    similarity: Similarity = "pearson"
    shrink: float = 10.0
    smoothing: float = 1.0

    def __post_init__(self) -> None:
        check_whole("neighbours", self.neighbours, 1)
        check_choice("similarity", self.similarity, Similarity)
        check_real("shrink", self.shrink, least=0)
        check_real("smoothing", self.smoothing, least=0)

    def _similarities(self, left: csr_matrix, right: csr_matrix) -> Floats:
        """(n_left, n_right) cosines over the columns that both have, times n_both / (n_both + shrink)."""
        columns = right.T.tocsr()
        both = (_ones(left) @ _ones(columns)).toarray()
        squares = (_squares(left) @ _ones(columns)).toarray() * (_ones(left) @ _squares(columns)).toarray()
        cosine = (left @ columns).toarray() / np.sqrt(squares).clip(min=_TINY)
        similarity: Floats = cosine * (both / (both + np.float32(self.shrink)).clip(min=_TINY))
        similarity[similarity <= 0] = np.nan  # the opposite of a neighbour predicts little
        return similarity


@dataclass
class ItemRatingKNN(_RatingKNN):
    """rating = mean(i) + sum of s (rating of j - mean(j)) / (sum of s + smoothing), over the rated neighbours j of i.

    Sarwar, Karypis, Konstan & Riedl 2001. similarity s of two items, over the users who rated both: `adjusted_cosine`,
    of deviations from the users' means; `pearson`, from the items' means; `cosine`, of plain ratings; each times
    n_both / (n_both + shrink). Only positive ones count, the `neighbours` largest of each item.

    The score is a rating, not a chance to be liked: judge it on rated items. Among all items it puts rare ones with
    high means first, which smoothing tempers. An item without a neighbour in the history is NaN.

    Fitting makes five products of the ratings with themselves, in blocks; memory: the kept similarities.
    """

    name: ClassVar[str] = "item_rating_knn"
    family: ClassVar[Family] = "neighbourhood"
    source: ClassVar[str] = "Sarwar et al. 2001"
    arrays: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "indptr": ("n_items + 1",),
        "indices": ("n_similarities",),
        "similarities": ("n_similarities",),
        "means": ("n_items",),
    }

    def _fit(self, dataset: Dataset, watch: Watch | None) -> None:
        users = training_ratings(dataset)
        items = users.T.tocsr()
        means = _means(items)
        if self.similarity == "adjusted_cosine":
            compared = _minus(users, _means(users)).T.tocsr()
        else:
            compared = _minus(items, means) if self.similarity == "pearson" else items
        n_items = items.shape[0]
        found = []
        size = max(1, _BLOCK_CELLS // n_items)
        for start in range(0, n_items, size):
            near = self._similarities(compared[start : start + size], compared)
            rows = np.arange(len(near))
            near[rows, start + rows] = np.nan
            found.append(_kept(near, self.neighbours, start))
        scored, neighbour, similarity = (np.concatenate(part) for part in zip(*found, strict=True))
        matrix = csr_matrix((similarity, (neighbour, scored)), shape=(n_items, n_items))
        self._learnt = {
            "indptr": matrix.indptr,
            "indices": matrix.indices,
            "similarities": matrix.data,
            "means": means,
        }

    def score(self, queries: Queries) -> Floats:
        """(n, n_items) predicted ratings; NaN for an item without a neighbour in the history."""
        learnt = self.state()
        means = learnt["means"]
        shape = (len(means), len(means))
        similarities = csr_matrix((learnt["similarities"], learnt["indices"], learnt["indptr"]), shape=shape)
        histories = query_ratings(queries, len(means))
        deviations = with_data(histories, histories.data - means[histories.indices])
        return _predicted(deviations @ similarities, _ones(histories) @ similarities, means, self.smoothing)


@dataclass
class UserRatingKNN(_RatingKNN):
    """rating = mean(u) + sum of s (rating by v - mean(v)) / (sum of s + smoothing), over the neighbours v who rated it.

    Resnick et al. 1994; Herlocker et al. 1999. similarity s of two users, over the items both rated: `pearson`, of
    deviations from the users' means; `adjusted_cosine`, from the items' means; `cosine`, of plain ratings; each times
    n_both / (n_both + shrink). Only positive ones count, the `neighbours` largest. A user is compared by the ratings in
    his query, so an unknown one is served like any other; a known one is not his own neighbour.

    The score is a rating: see `item_rating_knn`. An item that no neighbour rated is NaN. Fitting copies the ratings; a
    score compares the history with all users.
    """

    name: ClassVar[str] = "user_rating_knn"
    family: ClassVar[Family] = "neighbourhood"
    source: ClassVar[str] = "Resnick et al. 1994; Herlocker et al. 1999"
    arrays: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "indptr": ("n_users + 1",),
        "indices": ("n_ratings",),
        "ratings": ("n_ratings",),
        "item_means": ("n_items",),
    }

    def _fit(self, dataset: Dataset, watch: Watch | None) -> None:
        users = training_ratings(dataset)
        self._learnt = {
            "indptr": users.indptr,
            "indices": users.indices,
            "ratings": users.data,
            "item_means": _means(users.T.tocsr()),
        }

    def score(self, queries: Queries) -> Floats:
        """(n, n_items) predicted ratings; NaN for an item that no neighbour rated."""
        learnt = self.state()
        shape = (len(learnt["indptr"]) - 1, len(learnt["item_means"]))
        users = csr_matrix((learnt["ratings"], learnt["indices"], learnt["indptr"]), shape=shape)
        histories = query_ratings(queries, shape[1])
        size = max(1, _BLOCK_CELLS // shape[0])
        blocks = [slice(start, start + size) for start in range(0, len(queries), size)]
        found = [self._predict(histories[block], queries.users[block], users) for block in blocks]
        return np.concatenate(found) if found else np.empty((0, shape[1]), np.float32)

    def _predict(self, histories: csr_matrix, own: NDArray[np.int32], users: csr_matrix) -> Floats:
        near = self._similarities(self._compared(histories), self._compared(users))
        known = np.flatnonzero((own >= 0) & (own < users.shape[0]))
        near[known, own[known]] = np.nan
        row, user, similarity = _kept(near, self.neighbours, 0)
        votes = csr_matrix((similarity, (row, user)), shape=near.shape)
        deviations = _minus(users, _means(users))
        return _predicted(votes @ deviations, votes @ _ones(users), _means(histories)[:, None], self.smoothing)

    def _compared(self, ratings: csr_matrix) -> csr_matrix:
        if self.similarity == "pearson":
            return _minus(ratings, _means(ratings))
        if self.similarity == "adjusted_cosine":
            return with_data(ratings, ratings.data - self.state()["item_means"][ratings.indices])
        return ratings


def _predicted(deviations: csr_matrix, similarities: csr_matrix, base: Floats, smoothing: float) -> Floats:
    """base + deviations / (similarities + smoothing); NaN where there is no similarity."""
    total = similarities.toarray()
    total[total == 0] = np.nan
    return np.asarray(base + deviations.toarray() / (total + np.float32(smoothing)), dtype=np.float32)


def _kept(near: Floats, k: int, first: int) -> tuple[NDArray[np.int64], NDArray[np.int32], Floats]:
    """(row, column, similarity) of the k largest of each row; rows are numbered from `first`."""
    chosen, similarity = top_k(near, min(k, near.shape[1]))
    row, place = np.nonzero(chosen >= 0)
    return first + row, chosen[row, place], similarity[row, place]


def _means(ratings: csr_matrix) -> Floats:
    """The mean rating of each row, 0 for an empty one."""
    counts = np.diff(ratings.indptr)
    return np.divide(sums(ratings, axis=1), counts, out=np.zeros(len(counts), np.float32), where=counts > 0)


def _minus(ratings: csr_matrix, means: Floats) -> csr_matrix:
    return with_data(ratings, ratings.data - means[rows_of(ratings)])


def _ones(matrix: csr_matrix) -> csr_matrix:
    return with_data(matrix, np.ones(matrix.nnz, np.float32))


def _squares(matrix: csr_matrix) -> csr_matrix:
    return with_data(matrix, matrix.data**2)

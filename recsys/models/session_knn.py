"""Session-kNN: sessions are alike that share items, late ones above all; one gets what similar sessions held."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys.data.dataset import Dataset
from recsys.data.interactions import Interactions
from recsys.data.queries import Queries
from recsys.data.sessions import session_numbers
from recsys.models.base import (
    Family,
    Recommender,
    Watch,
    Weighting,
    check_choice,
    check_real,
    check_whole,
    likes,
    query_likes,
    training_likes,
)
from recsys.models.sparse import nearest, sums

_HOUR, _DAY = 3_600, 86_400


@dataclass
class SessionKNN(Recommender):
    """score(query, item) = sum over the nearest sessions of similarity * recency * like of the item.

    Vector session-kNN (Ludewig & Jannach 2018): the query is the latest `window` likes, each counting decay ** age; the
    similarity is its product with the session over the session's length. recency is 0.5 ** (age / half_life_days) by
    the session's end, before the newest row of the data (None: 1). Ties between sessions go to the later one.

    pause_hours: a longer silence ends a session. The query needs no user: any history is served. An item that no
    near session holds is NaN.

    Fitting copies the likes. A score costs the sessions that hold an item of the query, and the items of the near ones.
    """

    name: ClassVar[str] = "session_knn"
    family: ClassVar[Family] = "sequence"
    source: ClassVar[str] = "Jannach & Ludewig 2017"
    needs: ClassVar[tuple[str, ...]] = ("train",)
    arrays: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "indptr": ("n_sessions + 1",),
        "indices": ("n_likes",),
        "likes": ("n_likes",),
        "recency": ("n_sessions",),
        "known_items": ("n_items",),
    }

    neighbours: int = 100
    pause_hours: float = 6.0
    window: int = 10
    decay: float = 0.8
    half_life_days: float | None = None
    weighting: Weighting = "binary"

    def __post_init__(self) -> None:
        check_whole("neighbours", self.neighbours, 1)
        check_real("pause_hours", self.pause_hours, least=0)
        check_whole("window", self.window, 1)
        check_real("decay", self.decay, least=0, most=1, above=True)
        if self.half_life_days is not None:
            check_real("half_life_days", self.half_life_days, least=0, above=True)
        check_choice("weighting", self.weighting, Weighting)

    def _fit(self, dataset: Dataset, watch: Watch | None) -> None:
        known = sums(training_likes(dataset, self.weighting), axis=0) > 0
        rows = dataset.interactions
        numbers, ends = self._sessions(rows)
        sessions = csr_matrix((rows.weight, (numbers, rows.item)), shape=(len(ends), rows.n_items))
        sessions.sum_duplicates()
        sessions = likes(sessions, self.weighting)
        age = (rows.time[-1] - ends).astype(np.int64) / _DAY
        recency = np.ones(len(ends)) if self.half_life_days is None else 0.5 ** (age / self.half_life_days)
        self._learnt = {
            "indptr": sessions.indptr,
            "indices": sessions.indices,
            "likes": sessions.data,
            "recency": recency.astype(np.float32),
            "known_items": known,
        }

    def score(self, queries: Queries) -> NDArray[np.float32]:
        """(n, n_items) what similar sessions hold; NaN where none holds the item."""
        learnt = self.state()
        shape = (len(learnt["recency"]), len(learnt["known_items"]))
        sessions = csr_matrix((learnt["likes"], learnt["indices"], learnt["indptr"]), shape=shape)
        histories = query_likes(queries, shape[1], self.weighting, decay=self.decay, window=self.window)
        lengths = np.sqrt(sums(sessions.multiply(sessions), axis=1))
        factors = np.divide(learnt["recency"], lengths, out=np.zeros_like(lengths), where=lengths > 0)

        def rescale(rows: NDArray[np.int64], products: csr_matrix) -> None:
            products.data *= factors[products.indices]

        nobody = np.full(len(queries), -1)
        near = nearest(histories, sessions.T.tocsr(), self.neighbours, rescale, own=nobody)
        scores: NDArray[np.float32] = (near @ sessions).toarray()
        scores[scores == 0] = np.nan
        return scores

    def _sessions(self, rows: Interactions) -> tuple[NDArray[np.int64], NDArray[np.datetime64]]:
        """The session of each row, and when each one ended; numbered from the last to the first end."""
        numbers = session_numbers(rows, self.pause_hours * _HOUR)
        ends = np.empty(numbers.max() + 1, rows.time.dtype)
        ends[numbers] = rows.time  # rows are sorted by time: the last one stays
        newest_first = np.lexsort((np.arange(len(ends)), -ends.astype(np.int64)))
        renumbered = np.empty_like(newest_first)
        renumbered[newest_first] = np.arange(len(ends))
        return renumbered[numbers], ends[newest_first]

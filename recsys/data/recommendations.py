"""Recommendations: what was proposed to whom, best first."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys.data.queries import Queries
from recsys.data.vocabulary import Vocabulary


@dataclass(frozen=True, kw_only=True, eq=False)
class Recommendations:
    """Ranked lists for n queries.

    items: (n, k) int32, best first, padded with -1 at the end; scores: (n, k) float32, NaN where padded and where
    the item came from the fallback; model: the name of the model that was asked.
    """

    queries: Queries
    items: NDArray[np.int32]
    scores: NDArray[np.float32]
    model: str

    def __post_init__(self) -> None:
        if self.items.shape != self.scores.shape or len(self.items) != len(self.queries):
            raise ValueError(
                f"{len(self.queries)} queries, items {self.items.shape} and scores {self.scores.shape} do not match"
            )

    @property
    def k(self) -> int:
        """How many places each list has."""
        return int(self.items.shape[1])

    @property
    def fallback(self) -> NDArray[np.bool_]:
        """(n,) whether any item of the list came from the fallback."""
        return np.asarray(((self.items >= 0) & np.isnan(self.scores)).any(axis=1))

    def block(self, start: int, stop: int) -> "Recommendations":
        """The lists of the queries start..stop-1 (views, no copy)."""
        return Recommendations(
            queries=self.queries.block(start, stop),
            items=self.items[start:stop],
            scores=self.scores[start:stop],
            model=self.model,
        )

    def table(self, users: Vocabulary, items: Vocabulary) -> pa.Table:
        """For the outside: one row per recommendation, columns user, rank (1 = best), item, score."""
        query, place = np.nonzero(self.items >= 0)
        numbers = self.queries.users[query]
        names = np.append(users.ids, [""])[numbers]  # an anonymous query (-1) has the empty id
        return pa.table(
            {
                "user": pa.array(names.tolist(), pa.string()),
                "rank": pa.array((place + 1).astype(np.int32)),
                "item": pa.array(items.ids[self.items[query, place]].tolist(), pa.string()),
                "score": pa.array(self.scores[query, place]),
            }
        )

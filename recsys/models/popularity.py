"""Popularity: one list for everybody, or for a segment. The bar for every model, the fallback for unknown users."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.data.interactions import Interactions
from recsys.data.queries import Queries
from recsys.models.base import Family, Recommender, State, Watch, check_real

_DAY = 86_400  # seconds, the unit of Interactions.time
_MOST_SEGMENTS = 1_000
"""More distinct values than this are no segments: a row of counts is kept for each."""


@dataclass
class Popularity(Recommender):
    """An item's score is how many distinct users touched it.

    window_days: count only the last days of the data (None: all of it). half_life_days: a user counts
    0.5 ** (age / half_life_days) by the age of his latest touch (None: always 1). Ages run to the newest interaction
    of the data set. An item that nobody touched has score 0, not NaN: it is the least popular, so as a fallback this
    model can fill any list.

    segment: a column of the user features; only users with the same value as his count for a user, plus `prior` users
    who are spread over the items as all are, so that a small segment is not led by chance. A query whose context has a
    value under the same name is of that segment, whoever asks: so an anonymous visitor gets what is popular where he
    is. Others who are unknown or have no value get the counts of everybody.
    """

    name: ClassVar[str] = "popularity"
    family: ClassVar[Family] = "non-personal"
    source: ClassVar[str] = "Cremonesi, Koren & Turrin 2010"
    arrays: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "popularity": ("1 + n_segments", "n_items"),
        "segments": ("n_users",),
        "segment_names": ("n_segments",),
    }

    window_days: float | None = None
    half_life_days: float | None = None
    segment: str | None = None
    prior: float = 10.0

    def __post_init__(self) -> None:
        for name in ("window_days", "half_life_days"):
            if (days := getattr(self, name)) is not None:
                check_real(name, days, least=0, above=True)
        if self.segment is not None and not isinstance(self.segment, str):
            raise ValueError(f"segment must be the name of a user feature, got {self.segment!r}")
        check_real("prior", self.prior, least=0)

    def _fit(self, dataset: Dataset, watch: Watch | None) -> None:
        rows = dataset.interactions
        user, item, age = _latest_touches(rows)
        counts = np.ones(len(item))
        if self.window_days is not None:
            counts[age >= self.window_days * _DAY] = 0
        if self.half_life_days is not None:
            counts *= 0.5 ** (age / (self.half_life_days * _DAY))
        segments, names = np.zeros(rows.n_users, np.int32), np.empty(0, np.str_)
        if self.segment is not None:
            segments, names = _segments(dataset, self.segment)
        everybody = np.bincount(item, weights=counts, minlength=rows.n_items)
        shape = (int(segments.max(initial=0)) + 1, rows.n_items)
        cells = segments[user].astype(np.int64) * rows.n_items + item
        popularity = np.bincount(cells, weights=counts, minlength=shape[0] * shape[1]).reshape(shape)
        popularity += everybody * self.prior / everybody.sum()
        popularity[0] = everybody  # the row of those without a segment
        self._learnt = {"popularity": popularity.astype(np.float32), "segments": segments, "segment_names": names}

    def score(self, queries: Queries) -> NDArray[np.float32]:
        """(n, n_items) the counts; without segments a read-only view that takes the memory of one row."""
        popularity, segments = self.state()["popularity"], self.state()["segments"]
        if len(popularity) == 1:
            return np.broadcast_to(popularity[0], (len(queries), popularity.shape[1]))
        known = (queries.users >= 0) & (queries.users < len(segments))
        own = np.where(known, segments[queries.users * known], 0)
        counts: NDArray[np.float32] = popularity[self._told(queries, own)]
        return counts

    @property
    def reads(self) -> frozenset[str]:
        """The segment, where there is one."""
        return frozenset() if self.segment is None else frozenset({self.segment})

    def restore(self, state: State) -> Self:
        """Take back what `state` gave; returns self."""
        # models saved before the context was read have no names of segments, and read none
        return super().restore({"segment_names": np.empty(0, np.str_)} | state)

    def _told(self, queries: Queries, own: NDArray[np.int32]) -> NDArray[np.int32]:
        """(n,) the numbers of the segments that the context names, `own` where it names none that is known."""
        names = self.state()["segment_names"]
        if self.segment is None or self.segment not in queries.context or len(names) == 0:
            return own
        values = np.array([_text(value) for value in queries.context[self.segment].tolist()], dtype=np.str_)
        place = np.searchsorted(names, values).clip(max=len(names) - 1)
        return np.where(names[place] == values, place + 1, own).astype(np.int32)


def _segments(dataset: Dataset, name: str) -> tuple[NDArray[np.int32], NDArray[np.str_]]:
    """((n_users,) the number of each user's segment from 1 on, 0 for a missing value; their sorted names)."""
    if name not in dataset.user_features:
        known = ", ".join(dataset.user_features) or "none"
        raise ValueError(f"{dataset.name!r} has no user feature {name!r} to make segments of; it has: {known}")
    values = [_text(value) for value in dataset.user_features[name].tolist()]
    found, numbers = np.unique(values, return_inverse=True)
    if len(found) > _MOST_SEGMENTS:
        raise ValueError(f"user feature {name!r} has {len(found):,} values, at most {_MOST_SEGMENTS:,} are segments")
    first = 0 if found[0] == "" else 1
    return np.asarray(numbers + first, dtype=np.int32), found[1 - first :].astype(np.str_)


def _text(value: object) -> str:
    missing = value is None or value != value  # NaN
    return "" if missing else str(value)


def _latest_touches(rows: Interactions) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]]:
    """One entry per distinct pair of user and item: both, and how many seconds ago it was last touched."""
    pair = rows.user.astype(np.int64) * rows.n_items + rows.item
    _, first_from_the_end = np.unique(pair[::-1], return_index=True)  # rows are sorted by time
    last = len(rows) - 1 - first_from_the_end
    return rows.user[last], rows.item[last], (rows.time[-1] - rows.time[last]).astype(np.int64)

"""What can be said of an item to anybody: that it is new, that it trends, how many touched it lately, and where."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bakeoff.catalogue import check_name
from recsys.data.dataset import Dataset
from recsys.data.interactions import Interactions
from recsys.encoders.base import words_of

DAY = np.timedelta64(1, "D")


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """Counts of distinct users, up to the last interaction of a data set.

    recent: (n_items,) in the last days; usual: (n_items,) the mean over the stretches of as many days before, NaN when
    the log holds no whole one; total: (n_items,) ever; age_days: (n_items,) since the item was first touched, NaN where
    nobody did; places: the values of the user feature by which `near` counts; near: (n_places, n_items) of the recent
    ones, those of each place; place_of: (n_users,) which place a user belongs to, -1 for none.
    """

    recent: NDArray[np.int64]
    usual: NDArray[np.float64]
    total: NDArray[np.int64]
    age_days: NDArray[np.float64]
    places: tuple[str, ...]
    near: NDArray[np.int64]
    place_of: NDArray[np.int64]

    @property
    def surge(self) -> NDArray[np.float64]:
        """(n_items,) (recent - usual) / sqrt(usual + 1): standard deviations of a Poisson count; NaN where unknown."""
        return (self.recent - self.usual) / np.sqrt(self.usual + 1)


def evidence(dataset: Dataset, *, days: float, near: str | None) -> Evidence:
    """The evidence of the last `days` of a data set; near: a user feature whose values are places, or other groups."""
    rows = dataset.interactions
    end, span = rows.time[-1], np.timedelta64(round(days * 86_400), "s")
    stretch = ((end - rows.time) // span).astype(np.int64)  # 0 for the last days
    recent = rows.where(stretch == 0)
    first = np.full(rows.n_items, len(rows))
    np.minimum.at(first, rows.item, np.arange(len(rows)))  # rows are in the order of time
    touched = first < len(rows)
    age = np.where(touched, (end - rows.time[first.clip(max=len(rows) - 1)]) / DAY, np.nan)
    places, place_of = _places(dataset, near)
    counts = np.zeros((len(places), rows.n_items), np.int64)
    touched_by = recent.csr()
    user, item = np.repeat(np.arange(rows.n_users), np.diff(touched_by.indptr)), touched_by.indices
    known = place_of[user] >= 0
    np.add.at(counts, (place_of[user[known]], item[known]), 1)
    return Evidence(
        recent=recent.item_users,
        usual=_usual(rows, stretch),
        total=rows.item_users,
        age_days=age,
        places=places,
        near=counts,
        place_of=place_of,
    )


def _usual(rows: Interactions, stretch: NDArray[np.int64]) -> NDArray[np.float64]:
    whole = int(stretch[0])  # the earliest one is not
    if whole < 2:
        return np.full(rows.n_items, np.nan)
    counted = (stretch > 0) & (stretch < whole)
    visits = np.unique(np.stack([rows.item, rows.user, stretch])[:, counted], axis=1)
    return np.bincount(visits[0], minlength=rows.n_items) / (whole - 1)


def _places(dataset: Dataset, near: str | None) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    if near is None:
        return (), np.full(len(dataset.users), -1)
    check_name(dataset.user_features, near, "user feature")
    words = words_of(dataset.user_features[near])
    places = tuple(sorted(set(words) - {""}))
    number = {place: i for i, place in enumerate(places)}
    return places, np.array([number.get(word, -1) for word in words], dtype=np.int64)

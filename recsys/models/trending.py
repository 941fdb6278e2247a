"""Trending: what is touched more now than it usually is. The same list for everybody."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.data.interactions import Interactions
from recsys.data.queries import Queries
from recsys.models.base import Family, Recommender, Watch, check_real, training_likes


@dataclass
class Trending(Recommender):
    """score = (recent - baseline * expected) / sqrt(expected + smoothing).

    With the baseline 1 it is a surge in standard deviations of a Poisson count. Below 1 the level counts as well as the
    surge, and at 0, with a smoothing far above all counts, it is popularity with a half-life: tuned, it finds which
    of the two people follow.

    recent: the users a day who touched the item, each counting 0.5 ** (age / half_life_days); expected: what that sum
    would be at the item's usual rate, which is taken with the longer half-life usual_days. Ages are whole days (UTC)
    back from the last one, which counts as a full day: let the log end at midnight. smoothing keeps one touch of a rare
    item from being a trend.

    seasonal: the usual rate is that of the same weekdays, so that what sells every Saturday is no trend on a Saturday;
    with less than two weeks of data all days are alike. A user counts once a day for an item, and only rows of
    weight > 0 do. An item that nobody liked is NaN: below one that falls.

    Fitting sorts the rows; a score is one row for all.
    """

    name: ClassVar[str] = "trending"
    family: ClassVar[Family] = "non-personal"
    source: ClassVar[str] = "a Poisson surge in the last days"
    arrays: ClassVar[Mapping[str, tuple[str, ...]]] = {"trend": ("n_items",)}

    half_life_days: float = 7.0
    usual_days: float = 90.0
    smoothing: float = 1.0
    baseline: float = 1.0
    seasonal: bool = True

    def __post_init__(self) -> None:
        check_real("half_life_days", self.half_life_days, least=0, above=True)
        check_real("usual_days", self.usual_days, least=self.half_life_days, above=True)
        check_real("smoothing", self.smoothing, least=0, above=True)
        check_real("baseline", self.baseline, least=0, most=1)
        if not isinstance(self.seasonal, bool):
            raise ValueError(f"seasonal must be true or false, got {self.seasonal!r}")

    def _fit(self, dataset: Dataset, watch: Watch | None) -> None:
        training_likes(dataset, "binary")  # refuses data in which nobody likes anything
        item, age = _touches(dataset.interactions)
        days = np.arange(age.max() + 1)
        season = days % 7 if self.seasonal and len(days) >= 14 else np.zeros(len(days), np.int64)
        near, far = (0.5 ** (days / half_life) for half_life in (self.half_life_days, self.usual_days))
        # a rate of one a day in some season is far.sum() of it in the usual, near.sum() in the recent
        recent_of_usual = np.bincount(season, near) / np.bincount(season, far)
        touched = np.bincount(item, minlength=dataset.interactions.n_items)
        recent = np.bincount(item, near[age], minlength=len(touched))
        expected = np.bincount(item, far[age] * recent_of_usual[season[age]], minlength=len(touched))
        trend = (recent - self.baseline * expected) / np.sqrt(expected + self.smoothing)
        trend[touched == 0] = np.nan
        self._learnt = {"trend": trend.astype(np.float32)}

    def score(self, queries: Queries) -> NDArray[np.float32]:
        """(n, n_items) the same row for every query: a read-only view that takes the memory of one."""
        trend = self.state()["trend"]
        return np.broadcast_to(trend, (len(queries), len(trend)))


def _touches(rows: Interactions) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """One entry per user, item and day with a like: the item, and how many days before the last one."""
    liked = rows.weight > 0
    day = rows.time[liked].astype("datetime64[D]").astype(np.int64)
    age = int(rows.time[-1].astype("datetime64[D]").astype(np.int64)) - day
    _, first = np.unique(np.stack([rows.user[liked], rows.item[liked], age]), axis=1, return_index=True)
    return rows.item[liked][first], age[first]

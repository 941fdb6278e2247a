"""Slices: a data set in two, the past that candidates are made from and the later rows that a ranker learns from."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.data.interactions import Interactions
from recsys.models.base import check_choice, check_real, check_whole

By = Literal["time", "last", "random"]
Ask = Literal["cutoff", "visit"]


@dataclass(frozen=True, kw_only=True)
class Slice:
    """How the rows that a ranker learns from are set apart.

    by `time`: the last `size` of all rows (a share), or of `days`, for everybody at one moment: what production is
    like; `last`: each user's last `rows` rows, for data whose users come once; candidates then know other people's
    future. `random`: the share `size` of all rows, for data without times.

    ask: the moment the users of a slice by time are served at, either the `cutoff` (as in offline evaluation) or that
    of their first later row (`visit`: as a service is asked, whose queries bring their own context `time`). In the
    other slices everybody is served just after his history ends.
    """

    by: By = "time"
    size: float = 0.2
    days: float | None = None
    rows: int = 1
    ask: Ask = "cutoff"

    def __post_init__(self) -> None:
        check_choice("by of the ranker's slice", self.by, By)
        check_choice("ask of the ranker's slice", self.ask, Ask)
        check_real("size of the ranker's slice", self.size, least=0, most=0.9, above=True)
        check_whole("rows of the ranker's slice", self.rows, 1)
        if self.days is not None:
            check_real("days of the ranker's slice", self.days, least=0, above=True)
        if self.by != "time" and (self.days is not None or self.ask == "visit"):
            raise ValueError(f"days and ask are of a slice by time, this one is by {self.by!r}; leave them out")

    def cut(self, dataset: Dataset, seed: int) -> tuple[Dataset, Dataset]:
        """(past, later), over the same vocabularies; either may be empty."""
        rows = dataset.interactions
        if self.by == "time":
            later = rows.time >= self._start(rows)
        elif self.by == "last":
            order, indptr = rows.by_user
            from_end = np.empty(len(rows), np.int64)
            from_end[order] = indptr[1:][rows.user[order]] - 1 - np.arange(len(rows))
            later = from_end < self.rows
        else:
            later = np.random.default_rng(seed).random(len(rows)) < self.size
        return dataset.keep(rows.where(~later)), dataset.keep(rows.where(later))

    def moments(self, later: Interactions, users: NDArray[np.integer]) -> NDArray[np.datetime64] | None:
        """(n,) when each of the users is asked for; None: just after his history ends."""
        if self.by != "time":
            return None
        if self.ask == "cutoff":
            return np.full(len(users), later.time[0])
        order, indptr = later.by_user
        return np.asarray(later.time[order[indptr[users]]])

    def _start(self, rows: Interactions) -> np.datetime64:
        if self.days is not None:
            start = int(rows.time[-1].astype(np.int64)) + 1 - round(self.days * 86_400)
            return np.datetime64(start, "s")
        start = len(rows) - max(1, round(len(rows) * self.size))
        return np.datetime64(int(rows.time[start].astype(np.int64)), "s")


def moments_of(
    cutoff: np.datetime64, indptr: NDArray[np.int64], times: NDArray[np.datetime64], *, by: By
) -> NDArray[np.datetime64]:
    """(n,) when queries without a context `time` are asked: one second after the history, and by time not before
    the cutoff up to which everything is known."""
    length = np.diff(indptr)
    last = np.full(len(length), cutoff)
    full = length > 0
    last[full] = times[indptr[1:][full] - 1] + np.timedelta64(1, "s")
    return np.maximum(last, cutoff) if by == "time" else last

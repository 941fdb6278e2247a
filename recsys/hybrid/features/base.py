"""What every group of features is: fitted on the past, it describes (query, item) pairs by named numbers."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from recsys.data.dataset import Dataset
from recsys.data.queries import Queries
from recsys.hybrid.candidates import Candidates
from recsys.models.base import State

Floats = NDArray[np.float32]
DAY = 86_400
"""Seconds."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Past:
    """What features may read: a data set whose rows are all before `cutoff` (datetime64[s]), and the origins' names."""

    dataset: Dataset
    cutoff: np.datetime64
    origins: tuple[str, ...]

    def __post_init__(self) -> None:
        time = self.dataset.interactions.time
        if len(time) and time[-1] >= self.cutoff:
            late = int(np.count_nonzero(time >= self.cutoff))
            raise ValueError(
                f"features as of {self.cutoff} may read only what was before, got {late} interactions of "
                f"{self.dataset.name!r} at or after it, up to {time[-1]}; cut the data set first"
            )

    @cached_property
    def age_days(self) -> NDArray[np.float64]:
        """(rows,) days from each interaction to the cutoff."""
        return np.asarray((self.cutoff - self.dataset.interactions.time) / np.timedelta64(DAY, "s"), np.float64)

    @property
    def n_items(self) -> int:
        """The size of the catalogue."""
        return self.dataset.interactions.n_items


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """The pairs that are described: the candidates of some queries, each asked at a moment of its own.

    moments: (n,) datetime64[s]; every history lies strictly before its moment, or the answer would know the future.
    """

    queries: Queries
    candidates: Candidates
    moments: NDArray[np.datetime64]

    def __post_init__(self) -> None:
        late = np.flatnonzero(self.queries.times >= self.moments[self.row_query])
        if len(late):
            query = int(self.row_query[late[0]])
            raise ValueError(
                f"the history of query {query} (user {self.queries.users[query]}) has a row at "
                f"{self.queries.times[late[0]]}, at or after its moment {self.moments[query]}: features may read only "
                "what was before; cut the histories, or ask later"
            )

    @property
    def query(self) -> NDArray[np.int64]:
        """(c,) the query of each pair."""
        return self.candidates.query

    @property
    def item(self) -> NDArray[np.int32]:
        """(c,) the item of each pair."""
        return self.candidates.items

    @cached_property
    def length(self) -> NDArray[np.int64]:
        """(n,) rows of each history."""
        return np.diff(self.queries.indptr)

    @cached_property
    def row_query(self) -> NDArray[np.int64]:
        """(h,) the query of each row of the histories."""
        return np.repeat(np.arange(len(self.queries)), np.diff(self.queries.indptr))

    @cached_property
    def row_age(self) -> NDArray[np.int64]:
        """(h,) how many rows of the history came after."""
        return np.asarray(self.queries.indptr[1:][self.row_query] - 1 - np.arange(len(self.queries.items)))

    @cached_property
    def row_days(self) -> NDArray[np.float64]:
        """(h,) days from each row of the histories to the moment."""
        passed = self.moments[self.row_query] - self.queries.times
        return np.asarray(passed / np.timedelta64(DAY, "s"), np.float64)

    @cached_property
    def row_weight(self) -> NDArray[np.float64]:
        """(h,) what each row of the histories counts: its weight, not below 0."""
        return self.queries.weights.clip(min=0).astype(np.float64)


@dataclass
class Group(ABC):
    """The contract of a group of features. `_fit` leaves what it learnt, as arrays, in `learnt`."""

    name: ClassVar[str]
    """The group's name in GROUPS."""
    wants: ClassVar[str] = ""
    """What the data set must hold for the group to say anything, in words; "" for nothing special."""

    learnt: State = field(default_factory=dict, init=False, repr=False)

    def fit(self, past: Past) -> Self:
        """Learn what the features need of the past; returns self."""
        self.learnt = self._fit(past)
        return self

    @abstractmethod
    def _fit(self, past: Past) -> State:
        """The arrays that `describe` and `compute` read."""

    @abstractmethod
    def describe(self) -> dict[str, str]:
        """The features, name -> one line, in the order of the columns; empty where the data set has nothing for it."""

    @property
    def reads(self) -> frozenset[str]:
        """The columns of `Queries.context` that it reads; none for most."""
        return frozenset()

    @abstractmethod
    def compute(self, rows: Rows) -> Floats:
        """(c, n_features) float32, NaN where a feature has nothing to say."""


def texts(names: tuple[str, ...] | list[str]) -> NDArray[np.str_]:
    """Names as an array of a state."""
    return np.array(names, dtype=np.str_).reshape(len(names))


def ratio(over: NDArray[Any], under: NDArray[Any]) -> NDArray[np.float64]:
    """over / under, NaN where under is 0."""
    empty = np.full(np.broadcast(over, under).shape, np.nan)
    return np.asarray(np.divide(over, under, out=empty, where=np.asarray(under) != 0))


def columns(*values: NDArray[Any]) -> Floats:
    """(c,) features side by side."""
    return np.column_stack(values).astype(np.float32)


def percentiles(values: NDArray[Any]) -> NDArray[np.float64]:
    """(n,) the share of the others that are below, ties halved, 0 to 1; NaN stays, and so does a lonely value at .5.

    >>> percentiles(np.array([10.0, 30.0, 20.0, np.nan])).tolist()
    [0.0, 1.0, 0.5, nan]
    """
    result = np.full(len(values), np.nan)
    there = np.flatnonzero(~np.isnan(values.astype(np.float64)))
    if len(there) == 0:
        return result
    if len(there) == 1:
        result[there] = 0.5
        return result
    known = values[there]
    ordered = np.sort(known)
    low, high = np.searchsorted(ordered, known), np.searchsorted(ordered, known, side="right") - 1
    result[there] = (low + high) / 2 / (len(known) - 1)
    return result

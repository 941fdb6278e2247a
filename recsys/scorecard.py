"""Scorecard: per-user values of every metric of one model, and what is read from them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bakeoff.bootstrap import RESAMPLES, Paired, mean_interval, mean_intervals, paired
from bakeoff.catalogue import check_name


@dataclass(frozen=True, kw_only=True, eq=False)
class Scorecard:
    """How good one model's lists were, user by user.

    users: (n,) int32, each once (in each window); values: "ndcg_10" -> (n,) float64, NaN where a user has no value;
    catalogue: "coverage_10" -> one number for all lists; n_seen: (n,) how long the user's history was; fallback: (n,)
    whether any item of the list came from the fallback; n_without_truth: users with nothing new to find, who count
    nowhere in accuracy; of_items: "new items" -> the same accuracies when only these items count as truth, NaN for
    users who have none of them; window: (n,) where the lists of several moments are pooled, which one a row is of: then
    intervals and comparisons resample users, with all their rows.
    """

    model: str
    users: NDArray[np.int32]
    values: Mapping[str, NDArray[np.float64]]
    n_seen: NDArray[np.int64]
    fallback: NDArray[np.bool_]
    catalogue: Mapping[str, float] = field(default_factory=dict)
    n_without_truth: int = 0
    of_items: Mapping[str, Mapping[str, NDArray[np.float64]]] = field(default_factory=dict)
    window: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        columns = {**self.values, **self._item_columns, "n_seen": self.n_seen, "fallback": self.fallback}
        if self.window is not None:
            columns["window"] = self.window
        for name, column in columns.items():
            if len(column) != len(self.users):
                raise ValueError(f"{name} has {len(column)} values for {len(self.users)} users")
        if len(np.unique(self.keys)) != len(self.users):
            once = "once" if self.window is None else "once in each window"
            raise ValueError(f"the scorecard of {self.model!r} must have each user {once}")

    @classmethod
    def pooled(cls, cards: Sequence[Self]) -> Self:
        """The lists of one model at several moments as one scorecard, which knows the first card as window 0.

        What belongs to all lists of a moment together is left out.
        """
        if not cards:
            raise ValueError("there must be at least one scorecard to pool, got none")
        first = cards[0]
        for card in cards[1:]:
            if (card.model, list(card.values)) != (first.model, list(first.values)):
                raise ValueError(
                    f"{first.model!r} ({', '.join(first.values)}) and {card.model!r} ({', '.join(card.values)}) are no "
                    "one model by the same metrics; pool each model by itself"
                )
        parts = [part for part in first.of_items if all(part in card.of_items for card in cards)]
        return cls(
            model=first.model,
            users=np.concatenate([card.users for card in cards]),
            values={name: np.concatenate([card.values[name] for card in cards]) for name in first.values},
            n_seen=np.concatenate([card.n_seen for card in cards]),
            fallback=np.concatenate([card.fallback for card in cards]),
            n_without_truth=sum(card.n_without_truth for card in cards),
            of_items={
                part: {
                    name: np.concatenate([card.of_items[part][name] for card in cards]) for name in first.of_items[part]
                }
                for part in parts
            },
            window=np.repeat(np.arange(len(cards)), [len(card.users) for card in cards]),
        )

    @property
    def keys(self) -> NDArray[np.int64]:
        """(n,) a number for each row, the same in the scorecards of all models: of the user, or of user and window."""
        users = self.users.astype(np.int64)
        return users if self.window is None else (self.window << 32) + users

    @property
    def clusters(self) -> NDArray[np.int32] | None:
        """(n,) what is resampled together, where rows are not users."""
        return None if self.window is None else self.users

    @property
    def n_users(self) -> int:
        """How many users got a list."""
        return len(self.users) if self.window is None else len(np.unique(self.users))

    @property
    def n_fallback(self) -> int:
        """How many lists have an item from the fallback."""
        return int(self.fallback.sum())

    def mean(self, metric: str) -> float:
        """The mean over users, or the catalogue's one number; NaN when nobody has a value."""
        check_name({**self.values, **self.catalogue}, metric, "metric")
        if metric in self.catalogue:
            return self.catalogue[metric]
        column = self.values[metric]
        return float(np.nanmean(column)) if np.isfinite(column).any() else float("nan")

    @property
    def _item_columns(self) -> dict[str, NDArray[np.float64]]:
        """The values of the parts of the items, as columns named `new items/ndcg_10`."""
        return {f"{part}/{name}": column for part, values in self.of_items.items() for name, column in values.items()}

    def where(self, keep: NDArray[np.bool_]) -> Self:
        """The users for which `keep` (n,) is true; what belongs to all lists together is left out."""
        return replace(
            self,
            users=self.users[keep],
            values={name: column[keep] for name, column in self.values.items()},
            n_seen=self.n_seen[keep],
            fallback=self.fallback[keep],
            window=None if self.window is None else self.window[keep],
            catalogue={},
            of_items={
                part: {name: column[keep] for name, column in values.items()} for part, values in self.of_items.items()
            },
        )

    def table(self) -> pa.Table:
        """For a file: one row per user, everything else as JSON in the schema's metadata; `of_table` reads it back."""
        rest = {"model": self.model, "catalogue": dict(self.catalogue), "n_without_truth": self.n_without_truth}
        first = {"user": self.users, "n_seen": self.n_seen, "fallback": self.fallback}
        moment = {} if self.window is None else {"window": self.window}
        columns = {**first, **moment, **self.values, **self._item_columns}
        table = pa.table({name: pa.array(column) for name, column in columns.items()})
        return table.replace_schema_metadata({"scorecard": json.dumps(rest)})

    @classmethod
    def of_table(cls, table: pa.Table) -> Self:
        """What `table` gave."""
        metadata = table.schema.metadata or {}
        if b"scorecard" not in metadata:
            raise ValueError(f"the table is no scorecard: its metadata has no 'scorecard', only {sorted(metadata)}")
        columns = {name: table[name].to_numpy() for name in table.column_names}
        users, n_seen, fallback = (columns.pop(name) for name in ("user", "n_seen", "fallback"))
        window, rest = columns.pop("window", None), json.loads(metadata[b"scorecard"])
        of_items: dict[str, dict[str, NDArray[np.float64]]] = {}
        for name in [name for name in columns if "/" in name]:
            part, _, metric = name.partition("/")
            of_items.setdefault(part, {})[metric] = columns.pop(name)
        return cls(
            users=users, n_seen=n_seen, fallback=fallback, values=columns, of_items=of_items, window=window, **rest
        )


@dataclass(frozen=True, kw_only=True)
class Row:
    """One metric of one model. low, high: NaN for what belongs to all lists together; n: users with a value."""

    metric: str
    mean: float
    low: float
    high: float
    n: int


def summary(
    scorecard: Scorecard, *, level: float = 0.95, resamples: int = RESAMPLES, rng: np.random.Generator
) -> list[Row]:
    """Every metric with its bootstrap interval over users, then those of the catalogue, which have none."""
    matrix = (
        np.column_stack(list(scorecard.values.values())) if scorecard.values else np.empty((len(scorecard.users), 0))
    )
    intervals = mean_intervals(matrix, level=level, resamples=resamples, rng=rng, clusters=scorecard.clusters)
    of_users = [
        Row(metric=name, mean=interval.mean, low=interval.low, high=interval.high, n=interval.n)
        for name, interval in zip(scorecard.values, intervals, strict=True)
    ]
    nan = float("nan")
    of_lists = [
        Row(metric=name, mean=value, low=nan, high=nan, n=scorecard.n_users)
        for name, value in scorecard.catalogue.items()
    ]
    return of_users + of_lists


def compare(
    a: Scorecard,
    b: Scorecard,
    metric: str,
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    rng: np.random.Generator,
) -> Paired:
    """a - b, user by user, over the users that both have."""
    for scorecard in (a, b):
        check_name(scorecard.values, metric, "per-user metric")
    if (a.window is None) != (b.window is None):
        raise ValueError(f"{a.model!r} and {b.model!r} must both be pooled over windows, or neither")
    common, of_a, of_b = np.intersect1d(a.keys, b.keys, assume_unique=True, return_indices=True)
    if len(common) == 0:
        raise ValueError(f"{a.model!r} and {b.model!r} have no user in common: judge both on the same split")
    clusters = None if a.clusters is None else a.clusters[of_a]
    values = a.values[metric][of_a], b.values[metric][of_b]
    return paired(*values, level=level, resamples=resamples, rng=rng, clusters=clusters)


@dataclass(frozen=True, kw_only=True)
class Part:
    """A metric over one slice. n: users with a value; reason: why mean or interval is NaN, "" where neither is."""

    name: str
    metric: str
    mean: float
    low: float
    high: float
    n: int
    reason: str = ""


EMPTY = {
    "cold": "nobody who is judged is without a history",
    "few": "nobody who is judged has so short a history",
    "light": "nobody who is judged has a history of this length",
    "heavy": "nobody who is judged has so long a history",
    "new items": "nobody who is judged came to touch an item that was new",
    "rare items": "nobody who is judged came to touch an item that few knew",
}
"""Why a slice has no value."""


def slices(scorecard: Scorecard, *, few: int = 3, light: int = 10) -> dict[str, Scorecard]:
    """The users by how much was known of them, in interactions: cold (none), few (up to `few`), light (up to `light`),
    heavy (more).

    And, where the scorecard has parts of the items, one slice for each: all users, judged by these items alone.
    """
    if not 1 <= few < light:
        raise ValueError(
            f"few must be >= 1 and light above it, got {few} and {light}; users with no history are the slice 'cold'"
        )
    n = scorecard.n_seen
    parts = {"cold": n == 0, "few": (n > 0) & (n <= few), "light": (n > few) & (n <= light), "heavy": n > light}
    of_users = {name: scorecard.where(keep) for name, keep in parts.items()}
    return of_users | {
        part: replace(scorecard, values=values, catalogue={}, of_items={})
        for part, values in scorecard.of_items.items()
    }


def by_slice(
    scorecard: Scorecard,
    metric: str,
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    rng: np.random.Generator,
) -> list[Part]:
    """A per-user metric in each of the slices; a slice of items has it only if it is an accuracy."""
    check_name(scorecard.values, metric, "per-user metric")
    found = []
    for name, card in slices(scorecard).items():
        if metric not in card.values:
            continue
        values = card.values[metric]
        one = mean_interval(values, level=level, resamples=resamples, rng=rng, clusters=card.clusters)
        reason = EMPTY.get(name, "nobody in it has a value") if one.n == 0 else ""
        if one.n == 1:
            reason = "one user alone has no interval"
        found.append(Part(name=name, metric=metric, mean=one.mean, low=one.low, high=one.high, n=one.n, reason=reason))
    return found

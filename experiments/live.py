"""What users did since the models were fitted: the end of their histories, kept in this process."""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import numpy as np

from abtest.types import Exposure, Outcome
from experiments.package import Package
from recsys.data.queries import Queries

USERS, EACH = 100_000, 200
"""Users who are remembered, those seen last; and how many events of each, the newest."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One item that a user touched."""

    item: str
    kind: str
    at: datetime


class LiveHistories:
    """The newest events of each user, oldest first. For one thread to write and any to read."""

    def __init__(self, users: int = USERS, each: int = EACH) -> None:
        self._users, self._each = users, each
        self._seen: OrderedDict[str, tuple[Seen, ...]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._seen)

    def add(self, events: Iterable[Exposure | Outcome]) -> set[str]:
        """Remember the outcomes that name an item, and give the units they were of."""
        touched = set()
        for event in events:
            if isinstance(event, Outcome) and event.item:
                new = Seen(item=event.item, kind=event.kind, at=event.at)
                self._seen[event.unit] = (*self._seen.get(event.unit, ()), new)[-self._each :]
                self._seen.move_to_end(event.unit)
                touched.add(event.unit)
        while len(self._seen) > self._users:
            self._seen.popitem(last=False)
        return touched

    def of(self, unit: str) -> tuple[Seen, ...]:
        """What a unit touched; a value of its own, that later events do not change."""
        return self._seen.get(unit, ())


@dataclass(frozen=True, eq=False)
class Asked:
    """Queries over a package: its histories with what came after they were made."""

    package: Package

    @cached_property
    def until(self) -> np.datetime64:
        """The last moment of the package's own histories; live events up to it may be in them already."""
        times = self.package.histories.time
        return times.max() if len(times) else np.datetime64(0, "s")

    @cached_property
    def weights(self) -> dict[str, float]:
        """The median weight of each kind, as `experiments.bridge` gives it to rows of an event log."""
        rows = self.package.histories
        return {
            name: float(np.median(rows.weight[rows.kind == kind])) if (rows.kind == kind).any() else 1.0
            for kind, name in enumerate(rows.kinds)
        }

    def query(self, unit: str, live: tuple[Seen, ...]) -> Queries:
        """One query, of a unit that may be unknown: what it touched since is its history all the same."""
        old = Queries.of(self.package.histories, self.package.users.numbers([unit]))
        new = [seen for seen in live if _second(seen.at) > self.until]
        numbers = self.package.items.numbers([seen.item for seen in new]) if new else np.empty(0, np.int32)
        known = numbers >= 0
        if not known.any():
            return old
        first = next(iter(self.weights.values()), 1.0)  # a kind that the log did not know counts as its first
        weights = np.array([self.weights.get(seen.kind, first) for seen in new], np.float32)
        times = np.array([_second(seen.at) for seen in new], dtype="datetime64[s]")
        return Queries(
            users=old.users,
            indptr=np.array([0, len(old.items) + int(known.sum())], np.int64),
            items=np.concatenate([old.items, numbers[known]]),
            weights=np.concatenate([old.weights, weights[known]]),
            times=np.concatenate([old.times, times[known]]),
        )


def _second(at: datetime) -> np.datetime64:
    return np.datetime64(int(at.timestamp()), "s")

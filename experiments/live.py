"""What users did since the models were fitted, as models read it: the end of their histories, and what trends."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from experiments.online.state import Seen
from experiments.package import Package
from recsys.data.dataset import Dataset
from recsys.data.queries import Queries
from recsys.models.base import Family, Recommender, Watch

Told: TypeAlias = tuple[tuple[str, str | int | float | bool], ...]
"""(name, value) of what a request tells of its context."""


@dataclass
class TrendingFirst(Recommender):
    """Fills empty places: by what trends now, most first, then as the package's own fallback does.

    It learns nothing; `items` (m,) are item numbers.
    """

    name: ClassVar[str] = "trending first"
    family: ClassVar[Family] = "non-personal"
    source: ClassVar[str] = "what users of the running service touch"

    base: Recommender
    items: NDArray[np.int32]

    def _fit(self, dataset: Dataset, watch: Watch | None) -> None:
        raise AssertionError("it is made of a fallback that was fitted")

    def score(self, queries: Queries) -> NDArray[np.float32]:
        """(n, n_items) the fallback's scores, with the trending items above all others."""
        scores = np.array(self.base.score(queries), np.float32)
        top = np.nanmax(scores, axis=1, initial=0.0)[:, None]
        # steps that a float32 of the size of `top` can tell apart
        step = np.maximum(np.abs(top), 1.0) * np.float32(1e-3)
        scores[:, self.items] = top + step * np.arange(len(self.items), 0, -1, dtype=np.float32)
        return scores


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

    @cached_property
    def reads(self) -> frozenset[str]:
        """The names of a request's context that change what it gets."""
        return self.package.model.reads | self.package.fallback.reads

    def told(self, context: Mapping[str, Any]) -> Told:
        """What of a request's context the models read: plain values, in order of name."""
        plain = str, int, float, bool
        return tuple((name, context[name]) for name in sorted(self.reads) if isinstance(context.get(name), plain))

    def query(self, unit: str, live: tuple[Seen, ...], told: Told = ()) -> Queries:
        """One query, of a unit that may be unknown: what it touched since is its history all the same."""
        context = {name: np.array([value]) for name, value in told}
        old = replace(Queries.of(self.package.histories, self.package.users.numbers([unit])), context=context)
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
            context=context,
        )


def _second(at: datetime) -> np.datetime64:
    return np.datetime64(int(at.timestamp()), "s")

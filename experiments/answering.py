"""Answering: a package's lists for calls, each of a unit with what it did lately and the context it asks in."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from experiments.live import Asked, Told, TrendingFirst
from experiments.online.state import Seen
from experiments.package import Package
from recsys.data.queries import Queries
from recsys.recommend import recommend

Call = tuple[str, int, tuple[Seen, ...], Told]
"""For which unit, for how many items, after what it did lately, in what context."""


class Ranked(NamedTuple):
    """The list of one call: items (k,) int32, best first, -1 at the end; scores (k,) float32, NaN by the fallback."""

    items: NDArray[np.int32]
    scores: NDArray[np.float32]


@dataclass(eq=False)
class Answering:
    """Answers calls by a package's model; places that it leaves empty go to what trends, then to its fallback."""

    package: Package

    def __post_init__(self) -> None:
        self.asked = Asked(self.package)
        self.follow(())

    def __call__(self, calls: Sequence[Call]) -> list[Ranked]:
        """The lists of calls that are alike, in their order."""
        queries = [self.asked.query(unit, live, told) for unit, _, live, told in calls]
        lists = recommend(self.package.model, Queries.joined(queries), calls[0][1], fallback=self._fallback)
        return [Ranked(items, scores) for items, scores in zip(lists.items, lists.scores, strict=True)]

    def follow(self, trending: Sequence[str]) -> None:
        """Take up what trends now, most first: it fills the places that the model leaves empty, before all else."""
        numbers = self.package.items.numbers(trending) if trending else np.empty(0, np.int32)
        self.trending: NDArray[np.int32] = numbers[numbers >= 0]
        self._fallback = (
            TrendingFirst(self.package.fallback, self.trending) if len(self.trending) else self.package.fallback
        )

    def warm(self) -> None:
        """The first answers of a model compile and sort what the later ones find ready."""
        for unit in ("", *self.package.users.ids[:1].tolist()):
            self([(unit, 10, (), ())])


def alike(call: Call) -> tuple[int, tuple[tuple[str, type], ...]]:
    """Calls for as many items, whose contexts tell the same things, can be answered together."""
    _, k, _, told = call
    return k, tuple((name, type(value)) for name, value in told)

"""What the per-user values behind a leaderboard say: any two variants against each other, and slices of the users."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bakeoff.bootstrap import Paired, mean_interval
from experiments import tracking
from experiments.board import Leaderboard
from experiments.home import Home
from recsys.scorecard import compare
from recsys.scorecard import slices as parts


@dataclass(frozen=True, kw_only=True)
class Slice:
    """One variant's metric over the users of one slice; NaN where nobody in it has a value."""

    variant: str
    name: str
    users: int
    mean: float
    low: float
    high: float


def duel(home: Home, board: Leaderboard, one: str, other: str, metric: str) -> Paired:
    """one - other, user by user; the seed is the bake-off's, so asking again gives the same interval."""
    a, b = (tracking.scorecard(home, board.standing(name)) for name in (one, other))
    return compare(a, b, metric, rng=np.random.default_rng(board.seed))


def slices(home: Home, board: Leaderboard, metric: str) -> tuple[Slice, ...]:
    """A metric for cold, light and heavy users, variant by variant, best first."""
    return tuple(
        _slice(row.variant, name, part.values[metric], board.seed)
        for row in board.standings
        for name, part in parts(tracking.scorecard(home, row)).items()
        if metric in part.values
    )


def _slice(variant: str, name: str, values: NDArray[np.float64], seed: int) -> Slice:
    known = values[np.isfinite(values)]
    if len(known) == 0:
        return Slice(variant=variant, name=name, users=0, mean=np.nan, low=np.nan, high=np.nan)
    found = mean_interval(known, rng=np.random.default_rng(seed))
    return Slice(variant=variant, name=name, users=len(known), mean=found.mean, low=found.low, high=found.high)

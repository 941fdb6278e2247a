"""What the per-user values behind a leaderboard say: any two variants against each other, and slices of the users."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bakeoff.bootstrap import Paired, mean_interval
from experiments import tracking
from experiments.board import Leaderboard
from experiments.home import Home
from experiments.registry import Registry
from recsys.data.interactions import Interactions
from recsys.scorecard import compare
from recsys.scorecard import slices as parts

HEAD, RAREST = 0.2, 0.25
"""Parts: of the items, by popularity, that are the head; of the users, by how much of theirs is outside of it."""


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
    """A metric for cold, light and heavy users and for those whose taste is the long tail, variant by variant, best
    first. The long tail needs a registered version, whose package knows who touched what."""
    rare = _long_tail_users(home, board)
    found = []
    for row in board.standings:
        card = tracking.scorecard(home, row)
        named = parts(card) if rare is None else parts(card) | {"long tail": card.where(rare[card.users])}
        found += [
            _slice(row.variant, name, part.values[metric], board.seed)
            for name, part in named.items()
            if metric in part.values
        ]
    return tuple(found)


def long_tail_users(histories: Interactions) -> NDArray[np.bool_]:
    """(n_users,) the quarter of the users with the largest part of their history outside the head of the catalogue,
    which is the most popular fifth of the items. Users without a history, or with all of it in the head, are not."""
    order = np.argsort(-histories.item_users, kind="stable")  # ties by item number
    tail = np.ones(histories.n_items, np.bool_)
    tail[order[: round(HEAD * len(order))]] = False
    touched = np.bincount(histories.user, minlength=histories.n_users)
    rare = np.bincount(histories.user, weights=tail[histories.item], minlength=histories.n_users)
    share = np.divide(rare, touched, out=np.zeros(len(touched)), where=touched > 0)
    return (share > 0) & (share >= np.quantile(share[touched > 0], 1.0 - RAREST) if touched.any() else False)


def _long_tail_users(home: Home, board: Leaderboard) -> NDArray[np.bool_] | None:
    version = next((row.version for row in board.standings if row.version is not None), None)
    return None if version is None else long_tail_users(Registry(home).load(board.name, version).histories)


def _slice(variant: str, name: str, values: NDArray[np.float64], seed: int) -> Slice:
    known = values[np.isfinite(values)]
    if len(known) == 0:
        return Slice(variant=variant, name=name, users=0, mean=np.nan, low=np.nan, high=np.nan)
    found = mean_interval(known, rng=np.random.default_rng(seed))
    return Slice(variant=variant, name=name, users=len(known), mean=found.mean, low=found.low, high=found.high)

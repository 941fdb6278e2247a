"""What the per-user values behind a leaderboard say: any two variants against each other, and slices of the users."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bakeoff.bootstrap import Paired, mean_intervals
from experiments import tracking
from experiments.board import Leaderboard
from experiments.home import Home
from experiments.registry import Registry
from recsys.data.interactions import Interactions
from recsys.scorecard import Scorecard, compare
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
    cards = {row.variant: tracking.scorecard(home, row) for row in board.standings}
    named = {variant: _named(card, rare) for variant, card in cards.items() if metric in card.values}
    names = list(next(iter(named.values()), {}))
    by_name = [_slices(name, {v: kinds[name].values[metric] for v, kinds in named.items()}, board) for name in names]
    return tuple(one for variant in zip(*by_name, strict=True) for one in variant)


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


def _named(card: Scorecard, rare: NDArray[np.bool_] | None) -> dict[str, Scorecard]:
    """The slices of one variant's users; no long tail where nobody knows whose taste it is."""
    return parts(card) if rare is None else parts(card) | {"long tail": card.where(rare[card.users])}


def _slices(name: str, values: dict[str, NDArray[np.float64]], board: Leaderboard) -> list[Slice]:
    """One slice, variant by variant: the same users, so all of them share the resamples, which are what takes time."""
    found = mean_intervals(np.column_stack(list(values.values())), rng=np.random.default_rng(board.seed))
    return [
        Slice(variant=variant, name=name, users=one.n, mean=one.mean, low=one.low, high=one.high)
        for variant, one in zip(values, found, strict=True)
    ]

"""The leaderboard: models by one metric, and which of them cannot be told from the best."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bakeoff.bootstrap import RESAMPLES, Paired, mean_interval
from bakeoff.catalogue import check_name
from recsys.scorecard import Scorecard, compare


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A model's place. against_best: the best minus this model, user by user (None for the best itself).

    p_adjusted: that comparison's p-value after Holm's correction over all comparisons with the best; NaN for the best.
    level_with_best: not distinguishable from the best at the level asked for, or the best itself.
    """

    rank: int
    model: str
    mean: float
    low: float
    high: float
    n: int
    against_best: Paired | None
    p_adjusted: float
    level_with_best: bool


def leaderboard(
    scorecards: Sequence[Scorecard],
    metric: str,
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    rng: np.random.Generator,
) -> list[Standing]:
    """The models by falling mean (ties by name), and which of them cannot be told from the best.

    Every model is judged on the same users, or this refuses: numbers of different splits do not belong in one table.
    """
    _check_comparable(scorecards, metric)
    ranked = sorted(scorecards, key=lambda card: (-np.nan_to_num(card.mean(metric), nan=-np.inf), card.model))
    if not ranked:
        return []
    # the same seed for all: equal models get equal intervals
    seed = int(rng.integers(2**63))

    def again() -> np.random.Generator:
        return np.random.default_rng(seed)

    best = ranked[0]
    duels = [compare(best, c, metric, level=level, resamples=resamples, rng=again()) for c in ranked[1:]]
    adjusted = holm(np.array([duel.p_value for duel in duels]))
    standings = []
    for rank, (card, duel, p) in enumerate(zip(ranked, [None, *duels], [np.nan, *adjusted], strict=True), start=1):
        values = card.values[metric]
        own = mean_interval(values, level=level, resamples=resamples, rng=again(), clusters=card.clusters)
        standing = Standing(
            rank=rank,
            model=card.model,
            mean=own.mean,
            low=own.low,
            high=own.high,
            n=own.n,
            against_best=duel,
            p_adjusted=float(p),
            level_with_best=not p < 1 - level,
        )
        standings.append(standing)
    return standings


def holm(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Holm's step-down adjusted p-values; a NaN (a comparison that could not be made) counts, and stays NaN."""
    order = np.argsort(p_values, kind="stable")
    factor = len(p_values) - np.arange(len(p_values))
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(np.maximum.accumulate(p_values[order] * factor), 1.0)
    return adjusted


def _check_comparable(scorecards: Sequence[Scorecard], metric: str) -> None:
    names = [scorecard.model for scorecard in scorecards]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(
            f"each model may stand once in a leaderboard, got {twice[0]!r} twice; "
            "name one anew with dataclasses.replace(scorecard, model=...)"
        )
    for scorecard in scorecards:
        check_name(scorecard.values, metric, "per-user metric")
        if not np.array_equal(np.sort(scorecard.keys), np.sort(scorecards[0].keys)):
            raise ValueError(
                f"{scorecard.model!r} and {scorecards[0].model!r} were judged on different users; "
                "evaluate all models of a leaderboard on the same split"
            )

"""Does a ranking find the units that gain? The Qini area of a score, with its interval, from a randomised experiment.

Treat the units with the highest scores first: the gain curve rises above the straight line of treating at random. The
area between them, per unit, is a rank-weighted average effect (Yadlowsky et al. 2021) and here a U-statistic: its
variance is exact to first order, without resampling.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from abtest.statistics.effect import check_level
from abtest.statistics.moments import Array

LEAST_UNITS = 50  # per arm: below, the interval's normal law does not hold


@dataclass(frozen=True, kw_only=True)
class Qini:
    """The area between the gain curve of a ranking and the line of a random one, per unit of the population.

    area > 0: high scores gain more than low ones. of_all: the effect of treating everybody, for scale. curve (m, 2):
    the share treated and the gain per unit of the population, from (0, 0) to (1, of_all).
    """

    area: float
    se: float
    ci: tuple[float, float]
    p_value: float
    of_all: float
    curve: Array
    level: float
    reason: str = ""


def qini(scores: ArrayLike, outcomes: ArrayLike, treated: ArrayLike, level: float = 0.95, *, points: int = 101) -> Qini:
    """How well scores (n,), fixed before the experiment, rank its units by uplift; ties count half.

    outcomes (n,); treated (n,) booleans. Scores fitted to these very outcomes find uplift in noise: fit them elsewhere.
    """
    check_level(level)
    score, outcome, arm = _checked(scores, outcomes, treated)
    n, n_treated = len(arm), int(arm.sum())
    if min(n_treated, n - n_treated) < LEAST_UNITS or np.ptp(score) == 0:
        return _unknown(score, n_treated, level)
    gain = _gain(outcome, arm)
    place = np.unique(-score, return_inverse=True)[1]
    counts = np.bincount(place).astype(np.int64)
    before = np.cumsum(counts) - counts
    rank = ((before + counts / 2.0) / n)[place]
    total = np.asarray(np.bincount(place, weights=gain), dtype=np.float64)
    behind = (total.sum() - np.cumsum(total) + total / 2.0) / n
    area = float(np.mean((0.5 - rank) * gain))
    # a unit moves the area by its own gain, by the ranks of those behind it, and by the share of its arm
    share = n_treated / n
    by_share = np.mean((0.5 - rank) * np.where(arm, -gain / share, gain / (1.0 - share)))
    influence = (0.5 - rank) * gain - behind[place] + by_share * (arm - share)
    se = float(influence.std(ddof=1) / np.sqrt(n))
    z = -float(special.ndtri((1.0 - level) / 2.0))
    reason = "" if se > 0 else "no unit differs from another: there is no variance"
    known = np.nan if reason else 1.0
    return Qini(
        area=area,
        se=se * known,
        ci=((area - z * se) * known, (area + z * se) * known),
        p_value=float(2.0 * special.ndtr(-abs(area) / se)) if se > 0 else np.nan,
        of_all=float(gain.mean()),
        curve=_curve(total, counts, points),
        level=level,
        reason=reason,
    )


def _gain(outcome: Array, arm: NDArray[np.bool_]) -> Array:
    """A value per unit whose mean over any group is its effect: the outcome about its mean, over the arm's share.

    About the mean of both arms, since a level that all share is noise here.
    """
    share = arm.mean()
    means = outcome[arm].mean(), outcome[~arm].mean()
    # the mean that a unit would have had in the other arm as often as in its own
    about = outcome - ((1.0 - share) * means[0] + share * means[1])
    return np.asarray(np.where(arm, about / share, -about / (1.0 - share)))


def _curve(total: Array, counts: NDArray[np.int64], points: int) -> Array:
    n = counts.sum()
    share = np.concatenate([[0.0], np.cumsum(counts) / n])
    gained = np.concatenate([[0.0], np.cumsum(total) / n])
    at = np.linspace(0.0, 1.0, points)
    return np.stack([at, np.interp(at, share, gained)], axis=-1)


def _unknown(score: Array, n_treated: int, level: float) -> Qini:
    few = min(n_treated, len(score) - n_treated) < LEAST_UNITS
    reason = (
        f"too few units: {LEAST_UNITS} are needed in each arm, got {n_treated} treated and {len(score) - n_treated} not"
        if few
        else "all scores are equal, so they rank nothing"
    )
    nan = float("nan")
    return Qini(
        area=nan, se=nan, ci=(nan, nan), p_value=nan, of_all=nan, curve=np.zeros((0, 2)), level=level, reason=reason
    )


def _checked(scores: ArrayLike, outcomes: ArrayLike, treated: ArrayLike) -> tuple[Array, Array, NDArray[np.bool_]]:
    score, outcome = np.asarray(scores, dtype=np.float64), np.asarray(outcomes, dtype=np.float64)
    arm = np.asarray(treated)
    if score.ndim != 1 or score.shape != outcome.shape or score.shape != arm.shape:
        raise ValueError(f"one score, outcome and arm per unit, got shapes {score.shape}, {outcome.shape}, {arm.shape}")
    if not np.isin(arm, (0, 1)).all():
        raise ValueError("treated must be true or false (0 or 1) for every unit")
    if not (np.isfinite(score).all() and np.isfinite(outcome).all()):
        raise ValueError("scores and outcomes must be finite, got NaN or an infinity; leave such units out")
    return score, outcome, arm.astype(np.bool_)

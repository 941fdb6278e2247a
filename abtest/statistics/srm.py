"""Sample-ratio mismatch: was the traffic split as planned?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from abtest.statistics.moments import Array
from abtest.types import SampleRatio

ALPHA = 0.001  # an alarm stops an experiment, and is looked at every day
LEAST_EXPECTED = 8.0  # units per arm below which the chi-square law does not hold
CONCENTRATION = 3_000.0  # units that the prior is worth: shares about a point around the plan, where mismatches lie


def check(units: Sequence[int], weights: Sequence[float], alpha: float = ALPHA) -> SampleRatio:
    """Pearson's chi-square of the units per arm against the weights, over the arms with a weight above 0.

    >>> check([5_000, 5_000], [0.5, 0.5]).alarm, check([5_300, 4_700], [0.5, 0.5]).alarm
    (False, True)
    """
    observed, planned = np.asarray(units, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    _check_input(observed, planned, alpha)
    observed, planned = observed[planned > 0], planned[planned > 0]
    expected = observed.sum() * planned / planned.sum()
    if len(planned) < 2:
        return _unknown("fewer than two arms have a weight above 0", alpha)
    if expected.min() < LEAST_EXPECTED:
        return _unknown(
            f"too early: the smallest arm expects {expected.min():.1f} units and {LEAST_EXPECTED:g} are needed", alpha
        )
    chi_square, p_value = (float(part) for part in pearson(observed, planned))
    deviation = float(np.abs(observed / expected - 1.0).max())
    return SampleRatio(chi_square=chi_square, p_value=p_value, deviation=deviation, alpha=alpha, alarm=p_value < alpha)


def pearson(units: ArrayLike, weights: ArrayLike) -> tuple[Array, Array]:
    """The chi-square (...) of units (..., arms) against weights above 0 (arms,), and its p-value."""
    observed, planned = np.asarray(units, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    expected = observed.sum(axis=-1, keepdims=True) * planned / planned.sum()
    chi_square = ((observed - expected) ** 2 / expected).sum(axis=-1)
    return np.asarray(chi_square), np.asarray(special.chdtrc(len(planned) - 1, chi_square))


@dataclass(frozen=True, eq=False, kw_only=True)
class SequentialRatio:
    """The always-valid check at every look (k,): running p-values, and the first look below alpha, -1 for none."""

    p_values: Array
    alpha: float
    alarm_at: int

    @property
    def alarm(self) -> bool:
        """Whether any look so far has alarmed; once true, it stays."""
        return self.alarm_at >= 0


def check_always(units: ArrayLike, weights: Sequence[float], alpha: float = ALPHA) -> SequentialRatio:
    """The check that may be looked at every day: cumulative units (looks, arms), oldest first, against the weights.

    Looking daily at chi-square alarms more often than alpha; this does not, whenever one looks and however long.

    >>> check_always([[500, 500], [5_600, 4_400]], [0.5, 0.5]).alarm_at
    1
    """
    counts, planned = np.atleast_2d(np.asarray(units, dtype=np.float64)), np.asarray(weights, dtype=np.float64)
    for row in counts:
        _check_input(row, planned, alpha)
    if (np.diff(counts, axis=0) < 0).any():
        raise ValueError("units must be cumulative, oldest look first, got counts that fall")
    p_values = always_valid_p(counts, weights)
    below = np.flatnonzero(p_values < alpha)
    return SequentialRatio(p_values=p_values, alpha=alpha, alarm_at=int(below[0]) if len(below) else -1)


def always_valid_p(units: ArrayLike, weights: Sequence[float], concentration: float = CONCENTRATION) -> Array:
    """The p-value at every look of cumulative units (..., looks, arms): 1 / the largest Bayes factor so far.

    Lindon and Malek (2022): the multinomial law of the plan against a Dirichlet mixture of laws around it. NaN where
    fewer than two arms have a weight above 0.
    """
    counts, planned = np.asarray(units, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    used = planned > 0
    counts, share = counts[..., used], planned[used] / planned[used].sum()
    if len(share) < 2:
        return np.full(counts.shape[:-1], np.nan)
    prior, total = concentration * share, counts.sum(axis=-1)
    gained = special.gammaln(prior + counts) - special.gammaln(prior) - counts * np.log(share)
    log_factor = gained.sum(axis=-1) - special.gammaln(concentration + total) + special.gammaln(concentration)
    return np.asarray(np.exp(-np.maximum(np.maximum.accumulate(log_factor, axis=-1), 0.0)))


def _check_input(observed: np.ndarray, planned: np.ndarray, alpha: float) -> None:
    if observed.shape != planned.shape or observed.ndim != 1:
        raise ValueError(f"units and weights must pair up, got shapes {observed.shape} and {planned.shape}")
    if not (np.isfinite(observed) & (observed >= 0)).all():
        raise ValueError(f"units must be counts >= 0, got {observed.tolist()}")
    if not (np.isfinite(planned) & (planned >= 0)).all():
        raise ValueError(f"weights must be >= 0, got {planned.tolist()}")
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha must lie strictly between 0 and 1, got {alpha}")


def _unknown(reason: str, alpha: float) -> SampleRatio:
    nan = float("nan")
    return SampleRatio(chi_square=nan, p_value=nan, deviation=nan, alpha=alpha, alarm=False, reason=reason)

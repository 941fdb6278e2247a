"""Quantiles: the median session, the slowest percent of requests. Intervals from order statistics, without a density.

The share of rows below a quantile has a standard error: sqrt(q (1 - q) / n) where a unit is one row; by the delta
method, as a ratio of counts, where a unit has many (Deng, Knoblich and Lu 2018, section 4). An arm reaches to the
values at the shares q -+ lean z se, divided by lean, and the arms are put together as those of every method. lean is
the arm's part in the error of both: where the test just rejects, each arm is that far off, so between equal
distributions the test is exact on the scale of shares. (With lean 1, the arms' own intervals put together, 200 rows
rejected 3% of the time instead of 5%.)

A quantile needs more than Moments: the values of an arm, or three quantiles that an engine can compute. `shares` says
which ones; every engine's continuous quantile (linear between order statistics) then gives a `Located`.
"""

from dataclasses import dataclass, replace
from math import ceil, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from abtest.statistics.effect import Effects, check_level, compose
from abtest.statistics.estimate import Estimate, Reach, ratio_of_means
from abtest.statistics.moments import Array, Moments
from abtest.types import Effect


@dataclass(frozen=True, eq=False, kw_only=True)
class Rows:
    """One arm's values (..., rows) and, where a unit has many of them, whose each is: units (rows,), any numbers."""

    values: Array
    units: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", np.asarray(self.values, dtype=np.float64))
        if self.units is not None:
            object.__setattr__(self, "units", np.asarray(self.units))
            if self.units.shape != self.values.shape or self.values.ndim != 1:
                raise ValueError(
                    f"units must name the unit of each value, got shapes {self.units.shape} and {self.values.shape}"
                )


@dataclass(frozen=True, eq=False, kw_only=True)
class Share:
    """How sure an arm is of the share of rows below its quantile: rows, the share's variance, the units behind it.

    All (...). freedom: of the variance, infinite where it is known from the count of rows alone.
    """

    rows: NDArray[np.int64]
    variance: Array
    units: NDArray[np.int64]
    freedom: Array


@dataclass(frozen=True, eq=False, kw_only=True)
class Located:
    """A quantile in one arm: its value and the values at the lower and upper share; units n and lean; all (...).

    The ends are NaN where the rows are too few to have values at those shares.
    """

    value: Array
    low: Array
    high: Array
    n: NDArray[np.int64]
    lean: Array


def effect(control: Rows, treatment: Rows, level: float, q: float = 0.5) -> Effect:
    """The effect on the q-quantile of the rows' values."""
    return effects(control, treatment, level, q).single()


def effects(control: Rows, treatment: Rows, level: float, q: float = 0.5) -> Effects:
    """`effect` over the leading axes of the rows' values."""
    ordered = np.sort(control.values, axis=-1), np.sort(treatment.values, axis=-1)
    values = [_at(arm, np.full(arm.shape[:-1], _check_share(q))) for arm in ordered]
    first, second = _share(control, values[0], q), _share(treatment, values[1], q)
    located = [
        _located(arm, value, shares(share, other, q, level), share, lean(share, other))
        for arm, value, share, other in ((ordered[0], values[0], first, second), (ordered[1], values[1], second, first))
    ]
    return compare(located[0], located[1], level, q)


def compare(control: Located, treatment: Located, level: float, q: float) -> Effects:
    """The effects of quantiles that are located already, at the shares of this level.

    The p-value is read from the end that faces 0, so it is below 1 - level exactly where the interval leaves 0 out.
    """
    z = float(-special.ndtri((1.0 - check_level(level)) / 2.0))
    of_control, of_treatment = _reach(control), _reach(treatment)
    gap = treatment.value - control.value
    facing = np.where(
        gap > 0, np.hypot(of_treatment.below, of_control.above), np.hypot(of_treatment.above, of_control.below)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        p_value = np.where(gap == 0, 1.0, 2.0 * special.ndtr(-z * np.abs(gap) / facing))
    found = compose(
        _estimate(control, z),
        _estimate(treatment, z),
        reaches=(of_control, of_treatment),
        p_value=p_value,
        method=f"{q:g} quantile, order statistics",
        level=level,
    )
    return _explained(found, control, treatment, q, level)


def lean(share: Share, other: Share) -> Array:
    """The part of this arm in the standard error of both; 1 / sqrt(2) between arms of a size."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.sqrt(share.variance / (share.variance + other.variance)))


def shares(share: Share, other: Share, q: float, level: float) -> tuple[Array, Array]:
    """The shares of rows that an arm reaches down and up to, for a linear quantile; NaN where there is no such row.

    >>> thousand = of_units(1_000, 0.5)
    >>> [round(float(end), 4) for end in shares(thousand, thousand, 0.5, 0.95)]
    [0.4781, 0.5219]
    """
    tail, rows = (1.0 - check_level(level)) / 2.0, share.rows.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        away = -special.stdtrit(share.freedom, tail) * np.sqrt(share.variance) * lean(share, other)
        # rank k (from 1) of a linear quantile lies at the share (k - 1) / (rows - 1); 1/2 corrects for whole ranks
        low, high = ((rows * (_check_share(q) + side) - 0.5) / (rows - 1.0) for side in (-away, away))
        known = (rows > 1) & (low >= 0.0) & (high <= 1.0)
    return np.where(known, low, np.nan), np.where(known, high, np.nan)


def of_units(n: ArrayLike, q: float) -> Share:
    """The share where each of n units is one row."""
    rows = np.asarray(n, dtype=np.int64)
    with np.errstate(divide="ignore"):
        variance = np.asarray(q * (1.0 - q) / rows, dtype=np.float64)
    return Share(rows=rows, variance=variance, units=rows, freedom=np.full(rows.shape, np.inf))


def of_counts(counts: Moments) -> Share:
    """The share where units have many rows, from their counts: "numerator" at or below the quantile, "denominator" all.

    What an engine reduces in a second pass, once it knows the quantile.
    """
    below = ratio_of_means(counts)
    rows = np.rint(np.nan_to_num(counts.of_column("denominator")) * counts.n).astype(np.int64)
    return Share(
        rows=rows, variance=below.variance, units=below.n, freedom=np.asarray(counts.n - 1.0, dtype=np.float64)
    )


def share_of(rows: Rows, q: float) -> Share:
    """How sure the rows are of the share below their q-quantile."""
    return _share(rows, _at(np.sort(rows.values, axis=-1), np.full(rows.values.shape[:-1], _check_share(q))), q)


def _share(rows: Rows, value: Array, q: float) -> Share:
    if rows.units is None:
        return of_units(np.full(rows.values.shape[:-1], rows.values.shape[-1]), q)
    named, whose = np.unique(rows.units, return_inverse=True)
    below, every = (rows.values <= value).astype(np.float64), np.ones(len(whose))
    counts = [np.bincount(whose, weights=weights, minlength=len(named)) for weights in (below, every)]
    return of_counts(Moments.of(("numerator", "denominator"), np.stack(counts, axis=-1)))


def _located(ordered: Array, value: Array, ends: tuple[Array, Array], share: Share, part: Array) -> Located:
    return Located(value=value, low=_at(ordered, ends[0]), high=_at(ordered, ends[1]), n=share.units, lean=part)


def _at(ordered: Array, share: Array) -> Array:
    """The values at a share of ordered values (..., n), linear between ranks; NaN where the share or a value is."""
    last = ordered.shape[-1] - 1
    if last < 0:
        return np.full(share.shape, np.nan)
    place = np.nan_to_num(share) * last
    before = np.floor(place).astype(np.int64)
    low, high = (
        np.take_along_axis(ordered, ranks[..., None], axis=-1)[..., 0]
        for ranks in (before, np.minimum(before + 1, last))
    )
    # NaN stands last in the order, where a quantile would not meet it
    return np.where(np.isnan(share) | np.isnan(ordered[..., -1]), np.nan, low + (place - before) * (high - low))


def _reach(arm: Located) -> Reach:
    # the value and the ends are interpolated apart: rounding may leave the value outside
    below, above = np.maximum(arm.value - arm.low, 0.0), np.maximum(arm.high - arm.value, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return Reach(below=below / arm.lean, above=above / arm.lean)


def _estimate(arm: Located, z: float) -> Estimate:
    with np.errstate(divide="ignore", invalid="ignore"):
        return Estimate(value=arm.value, variance=((arm.high - arm.low) / (2.0 * z * arm.lean)) ** 2, n=arm.n)


def _explained(found: Effects, control: Located, treatment: Located, q: float, level: float) -> Effects:
    """The same effects, with the reasons that only quantiles have."""
    possible = (control.n > 1) & (treatment.n > 1) & ~np.isnan(found.absolute)
    few = np.isnan(control.low) | np.isnan(treatment.low)
    still = (control.low == control.high) & (treatment.low == treatment.high)
    reasons = [
        f"too few rows for an interval of the {q:g} quantile: arms of {least_rows(q, level):,} units are needed, more "
        "where the rows of a unit are alike",
        "there is no variance to see: as many values equal the quantile as its interval is long",
    ]
    return replace(found, reason=np.select([possible & few, possible & still], reasons, default=found.reason))


def least_rows(q: float, level: float) -> int:
    """Units of one row, in each of two like arms, from which on both ends of the interval are values of the sample."""
    tail, z = min(q, 1.0 - q), -float(special.ndtri((1.0 - level) / 2.0)) / sqrt(2.0)
    # rows tail - z sqrt(rows tail (1 - tail)) >= 1/2, solved for the root of the rows
    spread = z * sqrt(tail * (1.0 - tail))
    return ceil(((spread + sqrt(spread**2 + 2.0 * tail)) / (2.0 * tail)) ** 2)


def _check_share(q: float) -> float:
    if not 0.0 < q < 1.0:
        raise ValueError(f"q must lie strictly between 0 and 1, got {q}; 0.5 is the median")
    return q

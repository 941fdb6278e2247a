"""The one bootstrap and the one paired test: how sure a mean of per-unit values is, and a difference of two.

A mean's interval is BCa (Efron 1987) with the bias taken from the skewness, not from the resamples, and with
Hesterberg's expanded percentiles (2015), which repair the narrowness of every bootstrap on few values: with 10 to 400
values it covered at least as well as the percentile, plain BCa and t intervals on normal, skewed and rare-event data.

A paired difference gets no skewness correction: equal arms differ symmetrically, and where most units tie, a
skewness estimated from the rest is noise (measured false alarms of 9 to 17% at 5%). Its degrees of freedom are the
units that do not tie, which brings the error rate to that of the sign-flip test. Its p-value is the same distribution
read backwards, so p < 1 - level exactly when the interval leaves 0 out.

Values that hang together (one user judged at several moments) are resampled together: `clusters` names whose each value
is. The mean stays that of all values, so it is a ratio of two sums over clusters, whose influence on it, by the delta
method, stands in for the single values in everything above; n and the degrees of freedom are those of the clusters.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri, stdtr, stdtrit

RESAMPLES = 2_000
"""Enough that the ends of a 95% interval move by 1 to 2% of its width from seed to seed."""
BLOCK = 1 << 20
"""Entries of the resampling counts held at once (8 MB), so that memory stays bounded."""
ROUNDING = 1e-9
"""A difference below this share of what it is taken of is a tie."""
CONSTANT = 1e-13
"""Values whose spread is below this share of their size are one value and its rounding."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A mean over n units (clusters, where there are any) and its interval at `level`; NaN ends below two units."""

    mean: float
    low: float
    high: float
    n: int
    level: float


@dataclass(frozen=True, kw_only=True)
class Paired:
    """Mean of a - b over the n units that have both, its interval, the two-sided p-value.

    share_better, share_worse: the shares of units with a > b and a < b; the rest are ties. A unit is a cluster, where
    there are any, and its difference the sum over its values.
    """

    difference: float
    low: float
    high: float
    p_value: float
    share_better: float
    share_worse: float
    n: int
    level: float


def mean_interval(
    values: ArrayLike,
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    rng: np.random.Generator,
    clusters: ArrayLike | None = None,
) -> Interval:
    """The mean of values (n,) with its bootstrap interval; NaN values are left out. clusters: (n,) whose each is."""
    column = np.asarray(values, dtype=np.float64)
    if column.ndim != 1:
        raise ValueError(f"values must be a vector, got shape {column.shape}; mean_intervals takes a matrix")
    return mean_intervals(column[:, None], level=level, resamples=resamples, rng=rng, clusters=clusters)[0]


def mean_intervals(
    values: ArrayLike,
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    rng: np.random.Generator,
    clusters: ArrayLike | None = None,
) -> list[Interval]:
    """One interval per column of values (n, m); NaN is left out per column.

    A column's interval does not depend on its neighbours: columns with the same gaps share their resamples, and
    every pattern of gaps starts from the same seed.
    """
    matrix = np.asarray(values, dtype=np.float64)
    if matrix.ndim != 2:
        raise ValueError(f"values must be a matrix (units, columns), got shape {matrix.shape}")
    return [resampled.interval(level) for resampled in _resample(matrix, level, resamples, rng, clusters)]


def paired(
    a: ArrayLike,
    b: ArrayLike,
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    rng: np.random.Generator,
    clusters: ArrayLike | None = None,
) -> Paired:
    """The paired comparison of a (n,) with b (n,), value by value; one that is NaN on either side is left out.

    clusters: (n,) whose each value is; without it each is a unit of its own.

    When all differences are equal there is no spread to resample: the interval is that point, and the p-value is
    the sign-flip test's 2 ** (1 - n), or 1 where the difference is 0.
    """
    difference = _difference(np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64))
    (one_mean,) = _resample(difference[:, None], level, resamples, rng, clusters)
    units = _by_unit(difference, clusters)
    resampled = replace(one_mean, skew=0.0, freedom=max(int(np.count_nonzero(units)) - 1, 1))
    interval, n = resampled.interval(level), max(resampled.n, 1)
    unknown = math.nan if resampled.n == 0 else 0.0
    return Paired(
        difference=interval.mean,
        low=interval.low,
        high=interval.high,
        p_value=resampled.p_value(),
        share_better=float((units > 0).sum()) / n + unknown,
        share_worse=float((units < 0).sum()) / n + unknown,
        n=interval.n,
        level=level,
    )


def _difference(a: Floats, b: Floats) -> Floats:
    if a.ndim != 1 or a.shape != b.shape:
        raise ValueError(f"a and b must be vectors of the same units, got shapes {a.shape} and {b.shape}")
    difference = np.asarray(a - b)
    difference[np.abs(difference) <= ROUNDING * np.maximum(np.abs(a), np.abs(b))] = 0.0
    return difference


def _by_unit(difference: Floats, clusters: ArrayLike | None) -> Floats:
    """The differences that are no NaN, or their sums by cluster; what cancels out is a tie."""
    known = difference[~np.isnan(difference)]
    if clusters is None:
        return known
    place = np.unique(np.asarray(clusters)[~np.isnan(difference)], return_inverse=True)[1]
    sums, sizes = np.bincount(place, known), np.bincount(place, np.abs(known))
    return np.where(np.abs(sums) <= ROUNDING * sizes, 0.0, sums)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Resampled:
    """The bootstrap distribution of one mean.

    means: sorted, as deviations from `mean`; se: their standard deviation, exactly; skew: BCa's acceleration, which
    for a mean is also its bias correction; freedom: the degrees of freedom behind se.
    """

    n: int
    mean: float
    se: float
    skew: float
    freedom: int
    means: Floats

    def interval(self, level: float) -> Interval:
        """The interval whose tails hold (1 - level) / 2 each."""
        tail = (1 - level) / 2
        low, high = self._bound(tail), self._bound(1 - tail)
        return Interval(mean=self.mean, low=low, high=high, n=self.n, level=level)

    def p_value(self) -> float:
        """Two-sided, for a mean of 0: the widest tails whose interval still leaves 0 out; never exactly 0."""
        if self.n < 2:
            return math.nan
        if self.mean == 0:
            return 1.0
        if self.se == 0:
            return max(2.0 ** (1 - self.n), np.finfo(float).tiny)
        # mirrored so that 0 lies below the mean: a - b and b - a get the same p
        means, skew = (self.means, self.skew) if self.mean > 0 else (-self.means[::-1], -self.skew)
        z = _place(means, -abs(self.mean), self.se)
        slack = 1 + skew * (z - skew)
        score = (z - skew) / slack - skew if slack > 0 else -math.inf
        p = 2 * stdtr(self.freedom, -abs(score) * math.sqrt((self.n - 1) / self.n))
        return max(float(p), np.finfo(float).tiny)

    def _bound(self, tail: float) -> float:
        if self.n < 2:
            return math.nan
        if self.se == 0:
            return self.mean
        score = self.skew + float(stdtrit(self.freedom, tail)) * math.sqrt(self.n / (self.n - 1))
        slack = 1 - self.skew * score
        z = self.skew + score / slack if slack > 0 else math.copysign(math.inf, score)
        bound = self.mean + _quantile(self.means, z, self.se)
        return 0.0 if abs(bound) < ROUNDING * self.se else bound


def _quantile(means: Floats, z: float, se: float) -> float:
    """The resampled mean at normal score z; beyond the resamples, the normal tail goes on with slope se."""
    scores = _scores(len(means))
    if z < scores[0]:
        return float(means[0] + (z - scores[0]) * se)
    if z > scores[-1]:
        return float(means[-1] + (z - scores[-1]) * se)
    return float(np.interp(z, scores, means))


def _place(means: Floats, value: float, se: float) -> float:
    """The normal score of a value: `_quantile` read backwards, the largest score where several resamples tie."""
    scores = _scores(len(means))
    above = int(np.searchsorted(means, value + ROUNDING * se, side="right"))
    if above == 0:
        return float(scores[0] + (value - means[0]) / se)
    if above == len(means):
        return float(scores[-1] + max(value - means[-1], 0.0) / se)
    share = max(value - means[above - 1], 0.0) / (means[above] - means[above - 1])
    return float(scores[above - 1] + share * (scores[above] - scores[above - 1]))


def _scores(resamples: int) -> Floats:
    return np.asarray(ndtri(np.arange(1, resamples + 1) / (resamples + 1)))


def _resample(
    matrix: Floats, level: float, resamples: int, rng: np.random.Generator, clusters: ArrayLike | None
) -> list[_Resampled]:
    """The bootstrap distribution of each column's mean."""
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, got {level}")
    if resamples < 100:
        raise ValueError(f"resamples must be at least 100, got {resamples}; {RESAMPLES} is the default")
    if np.isinf(matrix).any():
        raise ValueError("values must be finite or NaN (left out), got an infinity")
    owner = None if clusters is None else np.asarray(clusters)
    if owner is not None and owner.shape != matrix.shape[:1]:
        raise ValueError(f"clusters must name whose each of the {len(matrix)} values is, got shape {owner.shape}")
    seed = int(rng.integers(2**63))
    result: dict[int, _Resampled] = {}
    for rows, columns in _alike(~np.isnan(matrix)):
        # about the first value: constant columns become exactly 0, whatever their rounding
        start = matrix[rows, :][:1, columns] if rows.any() else np.full((1, len(columns)), np.nan)
        values, sizes = matrix[rows][:, columns] - start, None
        if owner is not None:
            values, sizes = _clustered(values, owner[rows])
        means = np.sort(_resampled_means(values, sizes, resamples, np.random.default_rng(seed)), axis=0)
        for place, column in enumerate(columns):
            result[int(column)] = _distribution(values[:, place], sizes, float(start[0, place]), means[:, place])
    return [result[column] for column in range(matrix.shape[1])]


def _alike(present: NDArray[np.bool_]) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.int64]]]:
    """(rows (n,), columns) for each pattern of gaps among the columns."""
    patterns, which = np.unique(np.packbits(present, axis=0), axis=1, return_inverse=True)
    for pattern in range(patterns.shape[1]):
        columns = np.flatnonzero(which == pattern)
        yield present[:, columns[0]], columns


def _clustered(values: Floats, owner: NDArray[Any]) -> tuple[Floats, Floats]:
    """(c, m) sums of the values (n, m) of each cluster, and (c,) how many it has."""
    place = np.unique(owner, return_inverse=True)[1]
    sizes = np.bincount(place).astype(np.float64)
    sums = [np.bincount(place, column, minlength=len(sizes)) for column in values.T]
    return np.column_stack(sums).astype(np.float64), sizes


def _resampled_means(values: Floats, sizes: Floats | None, resamples: int, rng: np.random.Generator) -> Floats:
    """(resamples, m) means of n rows drawn with replacement: counts of draws times values, in blocks.

    sizes: of clusters, whose values are sums.
    """
    n, m = values.shape
    if n < 2:
        return np.empty((0, m))
    means = np.empty((resamples, m))
    rows = max(1, BLOCK // n)
    for start in range(0, resamples, rows):
        stop = min(start + rows, resamples)
        counts = np.empty((stop - start, n))
        for row in counts:
            # row by row: the counters of one row stay in the cache, those of a whole block do not
            row[:] = np.bincount(rng.integers(n, size=n), minlength=n)
        means[start:stop] = counts @ values / (n if sizes is None else (counts @ sizes)[:, None])
    return means


def _distribution(values: Floats, sizes: Floats | None, start: float, means: Floats) -> _Resampled:
    """Moments of one column, given about `start`, beside its sorted resampled means."""
    n = len(values)
    if n < 2:
        mean = start if sizes is None or n == 0 else start + float(values[0] / sizes[0])
        return _Resampled(n=n, mean=mean, se=math.nan, skew=math.nan, freedom=0, means=means)
    if sizes is None:
        about = float(values.mean())
        deviations = values - about
    else:
        about = float(values.sum() / sizes.sum())
        deviations = (values - about * sizes) / sizes.mean()
    squares = float(deviations @ deviations)
    se = math.sqrt(squares) / n
    if math.sqrt(squares / n) <= CONSTANT * max(abs(start), float(np.abs(values).max())):
        return _Resampled(n=n, mean=start + about, se=0.0, skew=0.0, freedom=n - 1, means=means)
    skew = float((deviations**3).sum()) / (6 * squares**1.5)
    return _Resampled(n=n, mean=start + about, se=se, skew=skew, freedom=n - 1, means=means - about)

"""Several treatments against one control: Dunnett's comparisons, less strict than Bonferroni because they share it.

Dunnett (1955). The scores of k treatments are correlated through the control's mean: given it they are independent, so
the law of the largest is an integral over one normal variable (and one over the common spread, where it is estimated).
Arms may differ in size and variance.
"""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special

from abtest.statistics.effect import Effects, check_level, compose
from abtest.statistics.estimate import Estimate, ratio_of_means, symmetric
from abtest.statistics.moments import Array, Moments
from abtest.statistics.welch import degrees_of_freedom

METHOD = "Dunnett's many-to-one comparisons"
NORMAL_ABOVE = 1e6  # degrees of freedom beyond which Student's t is the normal law
FAR = 9.0  # standard deviations over which the shared variable is integrated
PANEL, POINTS = 3.0, 12  # Gauss-Legendre panels of 3 widths of the narrowest factor: an error below 1e-10
SPREAD_POINTS = (96, 48)  # below and above 20 degrees of freedom
LEAST_OWN = 1e-3  # a control a million times as noisy as a treatment is not told from that


def effects(control: Moments, treatments: Moments, level: float) -> Effects:
    """The effects of treatments (..., k) against one control (...), on a mean, proportion or ratio.

    p-values are adjusted and the intervals hold together, over the k treatments.
    """
    return compare(ratio_of_means(control), ratio_of_means(treatments), level)


def compare(control: Estimate, treatments: Estimate, level: float) -> Effects:
    """The simultaneous comparison of any estimates (..., k) with one control (...)."""
    alpha = 1.0 - check_level(level)
    shape = treatments.value.shape
    shared, p_value, critical = _shared(control), np.full(shape, np.nan), np.full(shape, np.nan)
    for place, asked, loading, freedom, score in _rows(shared, treatments):
        critical[place] = critical_value(loading, alpha, freedom)
        p_value[place][asked] = exceedance(score, loading, freedom)
    value, variance, n = np.broadcast_arrays(shared.value, shared.variance, shared.n, treatments.value)[:3]
    every = Estimate(value=value, variance=variance, n=n)
    return compose(
        every,
        treatments,
        reaches=(symmetric(every, critical), symmetric(treatments, critical)),
        p_value=p_value,
        method=METHOD,
        level=level,
    )


def p_values(control: Moments, treatments: Moments) -> Array:
    """Only the adjusted p-values (..., k): a tenth of the work."""
    arms = _shared(ratio_of_means(control)), ratio_of_means(treatments)
    found = np.full(arms[1].value.shape, np.nan)
    for place, asked, loading, freedom, score in _rows(*arms):
        found[place][asked] = exceedance(score, loading, freedom)
    return found


def _shared(control: Estimate) -> Estimate:
    return Estimate(value=control.value[..., None], variance=control.variance[..., None], n=control.n[..., None])


def _rows(
    shared: Estimate, treatments: Estimate
) -> Iterator[tuple[tuple[int, ...], NDArray[np.bool_], Array, float, Array]]:
    """Of every family: its place, who is asked (k,), their loadings, degrees of freedom and absolute scores."""
    with np.errstate(divide="ignore", invalid="ignore"):
        z = (treatments.value - shared.value) / np.sqrt(shared.variance + treatments.variance)
    loading, freedom = loadings(shared.variance, treatments.variance), degrees_of_freedom(shared, treatments)
    for place in np.ndindex(z.shape[:-1]):
        asked = np.isfinite(z[place])  # a comparison that cannot be made is no question
        if asked.any():
            # the most careful of the comparisons' degrees of freedom, and so whole that its nodes are kept
            lightest = max(float(np.floor(freedom[place][asked].min())), 1.0)
            yield place, asked, loading[place][asked], lightest, np.abs(z[place][asked])


def loadings(control_variance: ArrayLike, treatment_variance: ArrayLike) -> Array:
    """How much of each comparison's noise is the control's, as a correlation: sqrt(v0 / (v0 + vi)).

    Two comparisons are correlated by the product of their loadings: 1/2 with equal arms.
    """
    shared, own = np.asarray(control_variance, dtype=np.float64), np.asarray(treatment_variance, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.sqrt(shared / (shared + own)))


def exceedance(score: ArrayLike, loading: ArrayLike, freedom: float = np.inf) -> Array:
    """P(the largest |T_i| of the k comparisons is at least score), for scores (...): the adjusted p-value."""
    score, loading = np.asarray(score, dtype=np.float64), np.atleast_1d(np.asarray(loading, dtype=np.float64))
    own = np.maximum(np.sqrt(1.0 - loading**2), LEAST_OWN)
    u, of_u = _normal_nodes(int(np.ceil(2.0 * FAR / (PANEL * min(1.0, own.min())))))
    if freedom > NORMAL_ABOVE:
        return np.asarray(_outside(score[..., None], u, loading, own) @ of_u)
    s, of_s = _spread_nodes(freedom)
    return np.asarray(_outside(score[..., None, None] * s[:, None], u, loading, own) @ of_u @ of_s)


def critical_value(loading: ArrayLike, alpha: float, freedom: float = np.inf) -> float:
    """How many standard errors each interval must reach so that all k hold together.

    >>> round(critical_value([0.5**0.5] * 3, 0.05), 3)
    2.349
    """
    k = len(np.atleast_1d(loading))
    one, all_apart = (float(-special.stdtrit(min(freedom, 1e10), alpha / m / 2.0)) for m in (1, k))
    if k == 1:
        return one
    # between a single comparison and Bonferroni
    return float(
        optimize.brentq(lambda c: float(exceedance(c, loading, freedom)) - alpha, one - 1e-6, all_apart + 1e-6)
    )


def _outside(reach: Array, u: Array, loading: Array, own: Array) -> Array:
    """P(any |T_i| > reach | the control's normal score u), from the tails so that small ones keep their digits."""
    log_inside = np.zeros(np.broadcast_shapes(reach.shape, u.shape))
    for shared, apart in zip(loading, own, strict=True):
        tails = special.ndtr((shared * u - reach) / apart) + special.ndtr((-shared * u - reach) / apart)
        with np.errstate(divide="ignore"):
            log_inside += np.log1p(-np.minimum(tails, 1.0))
    return np.asarray(-np.expm1(log_inside))


@lru_cache(maxsize=64)
def _normal_nodes(panels: int) -> tuple[Array, Array]:
    """Nodes and weights of a standard normal variable, as many as its narrowest factor is fine."""
    points, weights = np.polynomial.legendre.leggauss(POINTS)
    half = FAR / panels
    u = (half * (2.0 * np.arange(panels)[:, None] + 1.0 + points) - FAR).ravel()
    of_u = np.tile(half * weights, panels) * np.exp(-0.5 * u**2)
    return u, of_u / of_u.sum()


@lru_cache(maxsize=64)
def _spread_nodes(freedom: float) -> tuple[Array, Array]:
    """Nodes and weights of sqrt(chi-square / freedom), even in its logarithm, between its far quantiles."""
    half = freedom / 2.0
    low, high = (0.5 * np.log(special.gammaincinv(half, p) / half) for p in (1e-15, 1.0 - 1e-15))
    points, weights = np.polynomial.legendre.leggauss(SPREAD_POINTS[int(freedom > 20)])
    logs = (low + high) / 2.0 + (high - low) / 2.0 * points
    of_s = weights * np.exp(half * (2.0 * logs - np.expm1(2.0 * logs)))
    return np.exp(logs), of_s / of_s.sum()

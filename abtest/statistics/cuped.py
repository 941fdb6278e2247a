"""CUPED: what units did before the experiment is taken out of what they did in it, for means and ratios alike.

Deng, Xu, Kohavi and Walker (2013). A metric and its covariates are all ratios of means, where a denominator that is
not there is the constant 1; each is made linear per unit (the delta method), so one regression serves means, ratios
and several covariates at once. theta is pooled over both arms; the arms are adjusted to the covariate of both, so that
the values shown keep their meaning: adjusted = Y - theta (X - X of both arms).

Columns: "numerator", "denominator" (optional), covariates "covariate" or "covariate_<anything>", each with its
"<covariate>_denominator" (optional).
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from abtest.statistics.effect import Effects, Words
from abtest.statistics.estimate import ROUNDING, Estimate, ratio_of_means
from abtest.statistics.moments import Array, Moments
from abtest.statistics.welch import compare, degrees_of_freedom
from abtest.types import Effect

ENDING = "_denominator"
LEAST_UNITS = 10  # of both arms per covariate: a theta fitted to fewer takes the effect itself for its covariate
DEPENDENT = 1e-10  # share of the covariates' variance below which a direction is a copy of the others


def effect(control: Moments, treatment: Moments, level: float) -> Effect:
    """The effect on a mean or a ratio, adjusted for its covariates; unadjusted, and says so, where they cannot help."""
    return effects(control, treatment, level).single()


def effects(control: Moments, treatment: Moments, level: float) -> Effects:
    """`effect` over the leading axes of the moments."""
    arms = adjusted(control, treatment)
    return compare(arms.control, arms.treatment, level, arms.method(), covariance=arms.covariance, freedom=arms.freedom)


def variance_saved(control: Moments, treatment: Moments) -> Array:
    """The share of the difference's variance that the covariates explain: 0.3 = 30% fewer units for the same power."""
    return adjusted(control, treatment).saved


def covariates_of(columns: tuple[str, ...]) -> tuple[str, ...]:
    """The columns that are covariates, in their order.

    >>> covariates_of(("numerator", "covariate", "covariate_denominator", "covariate_visits"))
    ('covariate', 'covariate_visits')
    """
    return tuple(name for name in columns if name.startswith("covariate") and not name.endswith(ENDING))


@dataclass(frozen=True, eq=False, kw_only=True)
class Adjusted:
    """Both arms after adjustment; all (...).

    covariance: of the arms' values, which share the covariate of both. freedom: Welch's, from the residuals. theta
    (..., k): of the covariates, 0 where one is not used. saved: the share of variance saved. fallback: why nothing was
    adjusted, in words; empty where something was.
    """

    control: Estimate
    treatment: Estimate
    covariance: Array
    freedom: Array
    theta: Array
    saved: Array
    fallback: Words

    def method(self) -> Words:
        """What was done, in words."""
        k = self.theta.shape[-1]
        rows = zip(
            self.fallback.ravel().tolist(),
            (np.round(np.nan_to_num(self.saved), 3) + 0.0).ravel().tolist(),
            (self.theta != 0.0).sum(axis=-1).ravel().tolist(),
            strict=True,
        )
        told = [f"Welch's t, not adjusted: {why}" if why else _told(saved, used, k) for why, saved, used in rows]
        return np.asarray(told, dtype=np.str_).reshape(self.fallback.shape)


def _told(saved: float, used: int, k: int) -> str:
    by = "" if k == 1 else f" by {used} of {k} covariates"
    return f"CUPED{by}, {saved:.1%} of the variance saved, Welch's t"


def adjusted(control: Moments, treatment: Moments) -> Adjusted:
    """Both arms' values with the covariates taken out, and how sure they are."""
    if control.columns != treatment.columns:
        raise ValueError(f"both arms need the same columns, got {control.columns} and {treatment.columns}")
    covariates = covariates_of(control.columns)
    theta, fallback = _theta(control, treatment, covariates)
    first, second = _Linear.of(control, covariates), _Linear.of(treatment, covariates)
    with np.errstate(divide="ignore", invalid="ignore"):
        # the covariate of both arms weighs each arm by its denominators: an arm is pulled by the other's share
        share = np.where(theta != 0.0, second.mass / (first.mass + second.mass), 0.0)
        gap = np.where(theta != 0.0, second.value[..., 1:] - first.value[..., 1:], 0.0)
    pull, pull_back = theta * share, theta * (1.0 - share)
    left = first.residual(theta), second.residual(theta)
    rest = [
        Estimate(value=arm.value[..., 0], variance=v, n=arm.n) for arm, v in zip((first, second), left, strict=True)
    ]
    # each arm's value is linear in both arms: its own metric and the two arms' covariates
    varies = left[0] + left[1] != 0.0
    of_first, of_second = (_beside(1.0, -pull), _beside(0.0, pull)), (_beside(0.0, pull_back), _beside(1.0, -pull_back))
    products = [
        np.where(varies, first.product(one[0], other[0]) + second.product(one[1], other[1]), 0.0)
        for one, other in ((of_first, of_first), (of_second, of_second), (of_first, of_second))
    ]
    with np.errstate(divide="ignore", invalid="ignore"):
        saved = 1.0 - (left[0] + left[1]) / (first.residual(0.0 * theta) + second.residual(0.0 * theta))
    return Adjusted(
        control=Estimate(value=first.value[..., 0] + (pull * gap).sum(axis=-1), variance=products[0], n=first.n),
        treatment=Estimate(
            value=second.value[..., 0] - (pull_back * gap).sum(axis=-1), variance=products[1], n=second.n
        ),
        covariance=products[2],
        freedom=degrees_of_freedom(*rest),
        theta=theta,
        saved=saved,
        fallback=fallback,
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class _Linear:
    """One arm's metric and its covariates: n (...), their values (..., 1 + k), the covariance of these (..., 1 + k,
    1 + k), the sums of the covariates' denominators (..., k)."""

    n: NDArray[np.int64]
    value: Array
    covariance: Array
    mass: Array

    @classmethod
    def of(cls, moments: Moments, covariates: tuple[str, ...]) -> Self:
        value, products = _linear(moments, covariates)
        with np.errstate(divide="ignore", invalid="ignore"):
            scale = np.where(moments.n > 1, 1.0 / (moments.n * (moments.n - 1.0)), np.nan)
        denominators = [np.nan_to_num(moments.of_column(name + ENDING)) * moments.n for name in covariates]
        mass = np.stack(denominators, axis=-1) if covariates else np.zeros((*moments.n.shape, 0))
        return cls(n=moments.n, value=value, covariance=products * scale[..., None, None], mass=mass)

    def product(self, one: Array, other: Array) -> Array:
        """The covariance of two combinations of the values; what is not combined need not be known."""
        part = one[..., :, None] * other[..., None, :]
        return np.asarray(np.where(part == 0.0, 0.0, part * self.covariance).sum(axis=(-1, -2)))

    def residual(self, theta: Array) -> Array:
        """The variance of the metric less theta covariates; 0 where only rounding is left."""
        weights = _beside(1.0, -theta)
        variance = self.product(weights, weights)
        scale = weights**2 * np.diagonal(self.covariance, axis1=-2, axis2=-1)
        scale = np.where(weights == 0.0, 0.0, scale).sum(axis=-1)
        return np.where(variance <= ROUNDING * weights.shape[-1] * scale, 0.0, variance)


def _beside(first: float, rest: Array) -> Array:
    return np.concatenate([np.full((*rest.shape[:-1], 1), first), rest], axis=-1)


def _linear(moments: Moments, covariates: tuple[str, ...]) -> tuple[Array, Array]:
    """The ratios (..., 1 + k) and the centred products (..., 1 + k, 1 + k) of their parts per unit."""
    pairs = [("numerator", "denominator"), *((name, name + ENDING) for name in covariates)]
    values, gradients = [], []
    for top, bottom in pairs:
        mean = moments.of_column(bottom)
        gradient = np.zeros(moments.mean.shape)
        with np.errstate(divide="ignore", invalid="ignore"):
            values.append(np.where(mean != 0, moments.of_column(top) / mean, np.nan))
            gradient[..., moments.columns.index(top)] = 1.0 / mean
            if bottom in moments.columns:
                gradient[..., moments.columns.index(bottom)] = -values[-1] / mean
        gradients.append(gradient)
    value, slope = np.stack(values, axis=-1), np.stack(gradients, axis=-1)
    with np.errstate(invalid="ignore"):
        # one unknown column must not make the others unknown
        comoment = np.where(np.isfinite(moments.comoment), moments.comoment, 0.0)
        products = slope.swapaxes(-1, -2) @ comoment @ slope
    # the same cleaning as a single ratio gets: what subtraction leaves of a constant is no spread
    spread = np.stack([ratio_of_means(_named(moments, *pair)).variance for pair in pairs], axis=-1)
    cleaned = np.sign(spread)
    factor = cleaned[..., :, None] * cleaned[..., None, :]
    return value, np.where(factor == 0.0, 0.0, products * factor)


def _named(moments: Moments, top: str, bottom: str) -> Moments:
    """These two columns under the names of a ratio."""
    there = [name for name in (top, bottom) if name in moments.columns]
    found = moments.select(*there)
    return Moments(("numerator", "denominator")[: len(there)], found.n, found.mean, found.comoment)


def _theta(control: Moments, treatment: Moments, covariates: tuple[str, ...]) -> tuple[Array, Words]:
    """The regression of the metric on its covariates over both arms together (..., k), and why there is none."""
    # not `+`, which starts from the larger arm: swapping the arms must not change a bit
    value, products = _linear(_together(control, treatment), covariates)
    scale = np.sqrt(np.diagonal(products, axis1=-2, axis2=-1))[..., 1:]
    known = np.isfinite(scale) & (scale > 0) & np.isfinite(value[..., 1:])
    with np.errstate(divide="ignore", invalid="ignore"):
        correlation = products[..., 1:, 1:] / (scale[..., :, None] * scale[..., None, :])
        toward = products[..., 1:, 0] / scale
    both = known[..., :, None] & known[..., None, :]
    roots, axes = np.linalg.eigh(np.where(both & np.isfinite(correlation), correlation, 0.0))
    # covariates that copy each other share their theta, instead of a matrix without inverse
    inverse = np.where(roots > DEPENDENT, 1.0 / np.where(roots > DEPENDENT, roots, 1.0), 0.0)
    along = (axes.swapaxes(-1, -2) @ np.where(known, toward, 0.0)[..., None])[..., 0]
    theta = (axes @ (inverse * along)[..., None])[..., 0] / np.where(known, scale, 1.0)
    n = control.n + treatment.n
    fallback = np.select(
        [
            ~known.any(axis=-1),
            (n < LEAST_UNITS * len(covariates)) | (np.minimum(control.n, treatment.n) < 2),
            ~np.isfinite(theta).all(axis=-1),
        ],
        [
            "no covariate varies or can be computed" if covariates else "there is no covariate",
            f"too few units, {LEAST_UNITS} are needed per covariate",
            "the metric cannot be computed",
        ],
        default="",
    )
    return np.where((fallback == "")[..., None] & known, theta, 0.0), fallback


def _together(control: Moments, treatment: Moments) -> Moments:
    n = control.n + treatment.n
    weights = control.n / np.maximum(n, 1), treatment.n / np.maximum(n, 1)
    gap = treatment.mean - control.mean
    between = (control.n * weights[1])[..., None, None] * gap[..., :, None] * gap[..., None, :]
    mean = weights[0][..., None] * control.mean + weights[1][..., None] * treatment.mean
    return Moments(control.columns, n, mean, control.comoment + treatment.comoment + between)

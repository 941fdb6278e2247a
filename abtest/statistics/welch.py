"""Welch's t test: two means whose variances may differ."""

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from abtest.statistics.effect import Effects, Words, check_level, compose, variance_of_difference
from abtest.statistics.estimate import Estimate, ratio_of_means, symmetric
from abtest.statistics.moments import Array, Moments
from abtest.types import Effect

METHOD = "Welch's t"
LEAST_SCORE = 3.0  # standard errors from 0; with 10 buyers per arm (1.6) a 95% interval covered 93% and 97.8%
THIN = "a mean is within 3 standard errors of 0: if values are never negative, too few carry it for sure intervals"


def effect(control: Moments, treatment: Moments, level: float) -> Effect:
    """The effect on the mean of the column "numerator"."""
    return effects(control, treatment, level).single()


def effects(control: Moments, treatment: Moments, level: float) -> Effects:
    """`effect` over the leading axes of the moments."""
    return compare(
        ratio_of_means(control.select("numerator")), ratio_of_means(treatment.select("numerator")), level, METHOD
    )


def compare(
    control: Estimate,
    treatment: Estimate,
    level: float,
    method: str | Words,
    *,
    covariance: ArrayLike = 0.0,
    freedom: Array | None = None,
) -> Effects:
    """Welch's test of any two estimates with their own variances, and their covariance where they share something.

    freedom: the degrees of freedom, where they are not those of two independent arms with these variances.
    """
    check_level(level)
    freedom = degrees_of_freedom(control, treatment) if freedom is None else freedom
    critical = np.asarray(-special.stdtrit(freedom, (1.0 - level) / 2.0), dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = (treatment.value - control.value) / np.sqrt(variance_of_difference(control, treatment, covariance))
    found = compose(
        control,
        treatment,
        reaches=(symmetric(control, critical), symmetric(treatment, critical)),
        # the tail itself: 1 - cdf is 0 beyond 8.3 standard errors
        p_value=2.0 * special.stdtr(freedom, -np.abs(t)),
        method=method,
        level=level,
        covariance=covariance,
    )
    return replace(found, reason=np.where((found.reason == "") & _thin(control, treatment), THIN, found.reason))


def _thin(control: Estimate, treatment: Estimate) -> NDArray[np.bool_]:
    """Where a mean is so close to 0 that, of values that are never negative, too few are above it."""
    return np.asarray(
        (np.abs(control.value) < LEAST_SCORE * np.sqrt(control.variance))
        | (np.abs(treatment.value) < LEAST_SCORE * np.sqrt(treatment.variance))
    )


def degrees_of_freedom(control: Estimate, treatment: Estimate) -> Array:
    """Welch's and Satterthwaite's; NaN where an arm has fewer than two units or nothing varies."""
    total = control.variance + treatment.variance
    with np.errstate(divide="ignore", invalid="ignore"):
        # shares and not squares of variances, which underflow where values are tiny
        return 1.0 / (
            (control.variance / total) ** 2 / (control.n - 1) + (treatment.variance / total) ** 2 / (treatment.n - 1)
        )

"""From two estimates to an effect: difference, lift, intervals and p-value. Every method ends here.

Intervals are put together from the two arms' own ones by MOVER (the method of variance estimates recovery: Zou and
Donner 2008; for ratios Donner and Zou 2012). With symmetric arms that is Welch's interval for the difference and
Fieller's for the ratio; with Wilson's it is Newcombe's. One formula serves them all.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from abtest.statistics.estimate import Estimate, Reach
from abtest.statistics.moments import Array, Moments
from abtest.statistics.relative import lift
from abtest.types import Effect

Words = NDArray[np.str_]
Method = Callable[[Moments, Moments, float], Effect]
"""What METHODS registers: (control, treatment, level) -> Effect."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Effects:
    """Effect, for many comparisons at once: the same fields, every one an array of one shape (...)."""

    control: Array
    treatment: Array
    absolute: Array
    relative: Array
    se: Array
    low: Array
    high: Array
    relative_low: Array
    relative_high: Array
    p_value: Array
    method: Words
    reason: Words
    level: float

    @classmethod
    def of(cls, effects: Sequence[Effect]) -> Self:
        """Effects of one level, of any methods, as arrays (m,): segments, metrics, arms."""
        levels = {effect.level for effect in effects}
        if len(levels) != 1:
            raise ValueError(f"effects need one level in common, got {sorted(levels)}")
        ends = {"low": [e.ci[0] for e in effects], "high": [e.ci[1] for e in effects]}
        ends |= {f"relative_{end}": [e.relative_ci[place] for e in effects] for place, end in enumerate(ends)}
        names = [field.name for field in fields(cls) if field.name not in (*ends, "level")]
        values = {name: [getattr(effect, name) for effect in effects] for name in names} | ends
        return cls(level=levels.pop(), **{name: np.asarray(column) for name, column in values.items()})

    def single(self) -> Effect:
        """The effect, where there is only one comparison."""
        (effect,) = self.rows()
        return effect

    def rows(self) -> list[Effect]:
        """One Effect per comparison, in C order."""
        names = [field.name for field in fields(self) if field.name != "level"]
        columns = [np.asarray(getattr(self, name)).ravel().tolist() for name in names]
        return [self._row(dict(zip(names, values, strict=True))) for values in zip(*columns, strict=True)]

    def _row(self, row: dict[str, float]) -> Effect:
        ci = (row.pop("low"), row.pop("high"))
        relative_ci = (row.pop("relative_low"), row.pop("relative_high"))
        method, reason = str(row.pop("method")), str(row.pop("reason"))
        return Effect(ci=ci, relative_ci=relative_ci, method=method, reason=reason, level=self.level, **row)


def compose(
    control: Estimate,
    treatment: Estimate,
    *,
    reaches: tuple[Reach, Reach],
    p_value: Array,
    method: str | Words,
    level: float,
    covariance: ArrayLike = 0.0,
) -> Effects:
    """The effects of treatment against control, from each arm's reach (control's first) and the test's p-value.

    covariance: of the two arms' values, where they share something: the mean of a covariate, the shares of strata.
    """
    of_control, of_treatment = reaches
    together = _correlation(control, treatment, covariance)
    absolute = treatment.value - control.value
    low = absolute - _distance(of_treatment.below, of_control.above, together)
    high = absolute + _distance(of_treatment.above, of_control.below, together)
    relative, relative_low, relative_high, relative_reason = lift(
        control, treatment, of_control, of_treatment, together
    )
    reason = impossible(control, treatment, covariance)
    usable = reason == ""

    def known(values: Array) -> Array:
        return np.where(usable, values, np.nan)

    return Effects(
        control=control.value,
        treatment=treatment.value,
        absolute=absolute,
        relative=relative,
        se=known(np.sqrt(variance_of_difference(control, treatment, covariance))),
        low=known(low),
        high=known(high),
        relative_low=known(relative_low),
        relative_high=known(relative_high),
        p_value=known(p_value),
        method=np.broadcast_to(np.asarray(method, dtype=np.str_), absolute.shape),
        reason=np.where(usable, relative_reason, reason),
        level=level,
    )


def variance_of_difference(control: Estimate, treatment: Estimate, covariance: ArrayLike = 0.0) -> Array:
    """The squared standard error of treatment - control; never below 0."""
    return np.asarray(np.maximum(control.variance + treatment.variance - 2.0 * np.asarray(covariance), 0.0))


def _correlation(control: Estimate, treatment: Estimate, covariance: ArrayLike) -> Array:
    """The covariance as a correlation; 0 where an arm does not vary."""
    scale = np.sqrt(control.variance) * np.sqrt(treatment.variance)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(scale > 0, np.clip(np.asarray(covariance) / scale, -1.0, 1.0), 0.0)


def _distance(one: Array, other: Array, correlation: Array) -> Array:
    """The root of one^2 + other^2 - 2 correlation one other, without overflow or underflow."""
    return np.asarray(np.hypot(one - correlation * other, other * np.sqrt(1.0 - correlation**2)))


def impossible(control: Estimate, treatment: Estimate, covariance: ArrayLike = 0.0) -> Words:
    """Why a comparison cannot be made, in words; empty where it can."""
    cases: list[tuple[NDArray[np.bool_], str]] = []
    arms = (("control", control), ("treatment", treatment))
    for name, arm in arms:
        cases += [
            (arm.n == 0, f"no units in {name}"),
            (arm.n == 1, f"only one unit in {name}, so its spread is unknown"),
        ]
    # after the counts of both: one arm without units leaves the other without a spread where they share something
    for name, arm in arms:
        cases += [
            (
                ~np.isfinite(arm.value),
                f"the metric of {name} cannot be computed: its denominator is 0 or a value is NaN",
            ),
            (~np.isfinite(arm.variance), f"the spread of {name} cannot be computed: a value is NaN or too large"),
        ]
    still = variance_of_difference(control, treatment, covariance) == 0
    cases.append((still, "no unit differs from another: there is no variance"))
    return np.select([case for case, _ in cases], [words for _, words in cases], default="")


def check_level(level: float) -> float:
    """Return `level` if it is a confidence strictly between 0 and 1."""
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must lie strictly between 0 and 1, got {level}; 0.95 is usual")
    return level

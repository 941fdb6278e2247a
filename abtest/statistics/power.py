"""Planning: how many units a lift needs, what lift a sample can find, how long it takes."""

import math

import numpy as np
from scipy import special

from abtest.statistics.estimate import ratio_of_means
from abtest.statistics.moments import Moments


def units_per_arm(
    control: Moments, lift: float, *, alpha: float = 0.05, power: float = 0.8, share: float = 0.5
) -> float:
    """Units that control needs so that a relative lift is found with `power` by a two-sided test; inf for lift 0.

    control: moments of the metric from history; share: of the two arms' units that go to control (treatment needs
    (1 - share) / share times as many). NaN where the metric has no value, no spread or no units.
    """
    _check(alpha=alpha, power=power, share=share)
    absolute = abs(lift) * abs(_value(control))
    if absolute == 0:
        return math.inf
    z = _z(alpha) - float(special.ndtri(1.0 - power))
    return (z / absolute) ** 2 * _variance(control) * (1.0 + share / (1.0 - share))


def detectable_lift(
    control: Moments, units: float, *, alpha: float = 0.05, power: float = 0.8, share: float = 0.5
) -> float:
    """The relative lift that `units` (over both arms) find with `power`; inf where the control is 0."""
    _check(alpha=alpha, power=power, share=share)
    z = _z(alpha) - float(special.ndtri(1.0 - power))
    value = abs(_value(control))
    return z * _standard_error(control, units, share) / value if value else math.inf


def power_of(control: Moments, lift: float, units: float, *, alpha: float = 0.05, share: float = 0.5) -> float:
    """The chance that a two-sided test over `units` (both arms) finds a relative lift."""
    _check(alpha=alpha, share=share)
    with np.errstate(divide="ignore", invalid="ignore"):
        away = np.float64(lift * abs(_value(control))) / _standard_error(control, units, share)
    return float(special.ndtr(away - _z(alpha)) + special.ndtr(-away - _z(alpha)))


def days_left(units: float, planned: float, days: float) -> float:
    """Days until the planned units are there if they keep coming at the pace of the `days` so far; NaN before any."""
    if units >= planned:
        return 0.0
    return (planned - units) / units * days if units > 0 and days > 0 else math.nan


def _z(alpha: float) -> float:
    return -float(special.ndtri(alpha / 2.0))


def _value(control: Moments) -> float:
    return float(ratio_of_means(control).value)


def _variance(control: Moments) -> float:
    """The variance of one unit's share in the metric."""
    return float(ratio_of_means(control).variance * control.n)


def _standard_error(control: Moments, units: float, share: float) -> float:
    return math.sqrt(_variance(control) / units * (1.0 / share + 1.0 / (1.0 - share)))


def _check(**shares: float) -> None:
    for name, value in shares.items():
        if not 0.0 < value < 1.0:
            raise ValueError(f"{name} must lie strictly between 0 and 1, got {value}")

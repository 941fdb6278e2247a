"""Planning any experiment: units, detectable lift, power and days, whatever the metric, the arms and the looks.

Every design comes down to one number: the drift, which is the true effect in standard errors at the planned sample.
What it must be for the wanted power depends on the test alone; what it is depends on the metric's history and the
units.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, special

from abtest.statistics import dunnett, sequential, spending
from abtest.statistics.estimate import ratio_of_means
from abtest.statistics.moments import Array, Moments

Looks = Literal["once", "planned", "any time"]
Comparisons = Literal["one", "bonferroni", "dunnett"]
WINDOW = 28  # looks at which a test that may be read any time is planned to be read: daily for four weeks


@dataclass(frozen=True, kw_only=True)
class Design:
    """What will be tested, and how.

    shares: of the units, control first, then every treatment; sum to 1. comparisons: how several treatments are
    corrected for. looks: "once" at the end, "planned" at `fractions` by `spending`, or at "any time" by the
    always-valid sequence tuned to the plan. variance_saved: by CUPED, 0.3 = 30%. cluster, intraclass: units per
    randomised cluster and how alike they are. margin: the relative loss that a non-inferiority test tolerates
    (one-sided at alpha / 2, the lower end of the two-sided interval); None: a test for any difference, two-sided.
    """

    alpha: float = 0.05
    power: float = 0.8
    shares: tuple[float, ...] = (0.5, 0.5)
    comparisons: Comparisons = "one"
    looks: Looks = "once"
    fractions: tuple[float, ...] = tuple(k / WINDOW for k in range(1, WINDOW + 1))
    spending: str = spending.DEFAULT
    variance_saved: float = 0.0
    cluster: float = 1.0
    intraclass: float = 0.0
    margin: float | None = None

    def __post_init__(self) -> None:
        for name, value in (("alpha", self.alpha), ("power", self.power)):
            _check(0.0 < value < 1.0, name, "lie strictly between 0 and 1", value)
        _check(len(self.shares) > 1 and min(self.shares) > 0, "shares", "be two or more, all above 0", self.shares)
        _check(abs(sum(self.shares) - 1.0) < 1e-9, "shares", "sum to 1", self.shares)
        _check(0.0 <= self.variance_saved < 1.0, "variance_saved", "be at least 0 and below 1", self.variance_saved)
        _check(self.cluster >= 1.0, "cluster", "be at least one unit", self.cluster)
        _check(0.0 <= self.intraclass <= 1.0, "intraclass", "lie in [0, 1]", self.intraclass)
        _check(self.margin is None or 0.0 < self.margin < 1.0, "margin", "lie strictly between 0 and 1", self.margin)

    @property
    def effect_of_design(self) -> float:
        """How many times the variance is that of independent units without covariate: clusters up, CUPED down."""
        return (1.0 + (self.cluster - 1.0) * self.intraclass) * (1.0 - self.variance_saved)


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """A metric's history: its value, the variance of one unit's share in it, and whether it is a proportion.

    Of a proportion the variance follows from the rate, so that of the treatment is another one.
    """

    value: float
    variance: float
    proportion: bool = False

    @classmethod
    def of(cls, control: Moments, *, proportion: bool = False) -> "Baseline":
        """The baseline that one sample of the metric shows: a mean, a proportion or a ratio; NaN without units."""
        found = ratio_of_means(control)
        value, variance = float(found.value), float(found.variance * found.n)
        return cls(value=value, variance=value * (1.0 - value) if proportion else variance, proportion=proportion)


def units(design: Design, baseline: Baseline, lift: float) -> float:
    """Units over all arms that find a relative lift with the design's power, in the arm with the fewest of them.

    With a margin, lift is the true one that the test must survive: 0 for a change that does nothing. inf where there is
    nothing to find.
    """
    if np.isnan(baseline.variance):
        return np.nan
    away = _away(design, baseline, lift)
    if away <= 0:
        return np.inf
    # of a proportion the test's spread under no effect and that under the effect differ: the critical value stretches
    wanted = _drift_for(design, _stretch(design, baseline, lift))
    return (wanted / away) ** 2 * _variance_per_unit(design, baseline, lift)


def chance(design: Design, baseline: Baseline, lift: float, n: float) -> float:
    """The power of n units over all arms to find a relative lift (or to survive its margin)."""
    if np.isnan(baseline.variance) or n <= 0:
        return np.nan
    away = _away(design, baseline, lift, signed=True)
    drift = away / np.sqrt(_variance_per_unit(design, baseline, lift) / n)
    return _power(design, float(drift), _stretch(design, baseline, lift))


def detectable_lift(design: Design, baseline: Baseline, n: float) -> float:
    """The smallest relative lift that n units over all arms find with the design's power; inf where none is.

    With a margin: the smallest true lift, which may be negative, with which the test is still passed that often.
    """
    if np.isnan(baseline.variance) or n <= 0:
        return np.nan
    if baseline.value == 0:
        return np.inf
    low = -design.margin if design.margin is not None else 0.0
    most = 1.0 / baseline.value - 1.0 if baseline.proportion else 1e6

    def missing(lift: float) -> float:
        return chance(design, baseline, lift, n) - design.power

    if missing(most * (1.0 - 1e-9)) < 0:
        return np.inf
    return float(optimize.brentq(missing, low, most * (1.0 - 1e-9), xtol=1e-12))


def power_curve(design: Design, baseline: Baseline, lifts: ArrayLike, n: float) -> Array:
    """`chance` for many lifts (m,)."""
    return np.asarray([chance(design, baseline, float(lift), n) for lift in np.asarray(lifts).ravel()])


def days_for(wanted: float, arrivals: Sequence[float]) -> float:
    """Days until `wanted` units have come, from the cumulative distinct units at the end of each past day.

    Oldest day first. Between days in proportion; beyond the history at the pace of its last week, since new units get
    rarer. NaN without history, inf where nobody comes any more.
    """
    curve = np.concatenate([[0.0], np.asarray(arrivals, dtype=np.float64)])
    if len(curve) < 2:
        return np.nan
    if (np.diff(curve) < 0).any() or not np.isfinite(curve).all():
        raise ValueError("arrivals must be cumulative counts, oldest day first, got some that fall or are not finite")
    if wanted <= curve[-1]:
        day = max(int(np.searchsorted(curve, wanted)), 1)
        return float(day - 1 + (wanted - curve[day - 1]) / max(curve[day] - curve[day - 1], 1e-300))
    week = min(7, len(curve) - 1)
    pace = (curve[-1] - curve[-1 - week]) / week
    return float(len(curve) - 1 + (wanted - curve[-1]) / pace) if pace > 0 else np.inf


def growth_for(design: Design, absolute: float, se: float) -> float:
    """How many times the units so far are needed to find an effect of `absolute` with the design's power.

    Half-way through an experiment, from the standard error of its own data: below 1, they are there already.
    """
    if not se > 0 or np.isnan(absolute):
        return np.nan
    return float((_drift_for(design, 1.0) * se / absolute) ** 2) if absolute else np.inf


def critical(design: Design) -> Array:
    """The critical values at the design's looks (k,): one for a test that is read once."""
    return np.asarray(_critical(design))


def looks_of(design: Design) -> tuple[float, ...]:
    """The shares of the plan at which the design is read."""
    return (1.0,) if design.looks == "once" else design.fractions


@lru_cache(maxsize=256)
def _critical(design: Design) -> tuple[float, ...]:
    alpha = design.alpha
    if len(design.shares) > 2 and design.comparisons != "one":
        # as strict as one of the comparisons is made by its correction
        alpha = 2.0 * float(special.ndtr(-_many_to_one(design)))
    looks = looks_of(design)
    if design.looks == "any time":
        return tuple((sequential.boundary(looks, alpha, sequential.TUNED_SHARE)).tolist())
    return tuple(spending.boundaries(looks, alpha, design.spending, ended=True).tolist())


def _many_to_one(design: Design) -> float:
    treatments = len(design.shares) - 1
    if design.comparisons == "bonferroni":
        return float(-special.ndtri(design.alpha / treatments / 2.0))
    control, *others = (1.0 / share for share in design.shares)
    return dunnett.critical_value(dunnett.loadings(control, others), design.alpha)


def _power(design: Design, drift: float, stretch: float) -> float:
    return spending.power(looks_of(design), critical(design) * stretch, drift, _sides(design))


@lru_cache(maxsize=1024)
def _drift_for(design: Design, stretch: float) -> float:
    return spending.drift_for(looks_of(design), critical(design) * stretch, design.power, _sides(design))


def _sides(design: Design) -> spending.Sides:
    # of a non-inferiority test only the lower end of the interval decides
    return 2 if design.margin is None else 1


def _away(design: Design, baseline: Baseline, lift: float, *, signed: bool = False) -> float:
    """How far the truth is from what the test tries to refute, in the metric's units."""
    away = (lift + design.margin if design.margin is not None else lift) * abs(baseline.value)
    return away if signed or design.margin is not None else abs(away)


def _variance_per_unit(design: Design, baseline: Baseline, lift: float) -> float:
    """The variance of the difference between control and the smallest treatment, times all units."""
    share = min(design.shares[1:])
    treated = _treated_variance(baseline, lift)
    return design.effect_of_design * (baseline.variance / design.shares[0] + treated / share)


def _stretch(design: Design, baseline: Baseline, lift: float) -> float:
    """The spread that the score test assumes (both rates alike) over the true one; 1 but for proportions."""
    if not baseline.proportion:
        return 1.0
    control, share = design.shares[0], min(design.shares[1:])
    pooled = baseline.value * (1.0 + lift * share / (control + share))
    null = pooled * (1.0 - pooled) * (1.0 / control + 1.0 / share)
    return float(np.sqrt(null / (baseline.variance / control + _treated_variance(baseline, lift) / share)))


def _treated_variance(baseline: Baseline, lift: float) -> float:
    if not baseline.proportion:
        return baseline.variance
    rate = baseline.value * (1.0 + lift)
    if not 0.0 <= rate <= 1.0:
        raise ValueError(f"a lift of {lift:+.0%} takes a proportion of {baseline.value:g} to {rate:g}, outside [0, 1]")
    return rate * (1.0 - rate)


def _check(holds: bool, name: str, must: str, got: object) -> None:
    if not holds:
        raise ValueError(f"{name} must {must}, got {got}")

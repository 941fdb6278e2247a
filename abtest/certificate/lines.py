"""What a certificate says: measured shares with their Monte-Carlo intervals, and whether a promise was kept."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

Verdict = Literal["holds", "conservative", "does not hold", "warns", "refuses", "unclear", "for comparison"]
Band = tuple[float, float]
LEVEL = 0.95  # of the intervals under test, and of the Monte-Carlo ones
FIXED: Band = (0.04, 0.06)  # errors of a test that is read once, and of its intervals
EVER: Band = (0.0, 0.053)  # errors at any of the looks, or anywhere in a family
SHARP = 0.01  # a Monte-Carlo interval that reaches further than this decides nothing
MOSTLY = 0.5  # a method that warns or refuses at least this often has said so


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A share, or a mean, over the runs with its 95% Monte-Carlo interval; NaN where it does not apply."""

    value: float
    low: float
    high: float


NOTHING = Measured(value=math.nan, low=math.nan, high=math.nan)


@dataclass(frozen=True, kw_only=True)
class Line:
    """One method on one kind of data.

    units: per arm; looks: how often it was read; lift: the relative effect that was planted. type_i: the share of equal
    arms it told apart (at any look; of families: that had any false alarm); coverage: of the planted effect by its
    interval; relative_coverage: of the lift; power: the planted effects found; bias: of the estimate, in standard
    errors; false_found: the share of false ones among what was found; used: the share of the planned sample when it
    stopped. refused: the share of experiments without a p-value; warned: those with a reason attached. reason: why the
    verdict, in words.
    """

    kind: str
    method: str
    scenario: str
    units: int
    looks: int
    runs: int
    lift: float
    type_i: Measured = NOTHING
    coverage: Measured = NOTHING
    relative_coverage: Measured = NOTHING
    power: Measured = NOTHING
    bias: Measured = NOTHING
    false_found: Measured = NOTHING
    used: Measured = NOTHING
    refused: float = 0.0
    warned: float = 0.0
    verdict: Verdict = "unclear"
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """All lines, and what they were made with: the same version, runs and seed give the same lines."""

    version: str
    runs: int
    seed: int
    lines: tuple[Line, ...]

    @property
    def broken(self) -> tuple[Line, ...]:
        """The lines whose promise was not kept."""
        return tuple(line for line in self.lines if line.verdict == "does not hold")


def share(hits: int, of: int) -> Measured:
    """hits / of with Wilson's interval.

    >>> found = share(50, 1_000)
    >>> found.value, round(found.low, 4), round(found.high, 4)
    (0.05, 0.0381, 0.0653)
    """
    if of == 0:
        return NOTHING
    z = -float(special.ndtri((1.0 - LEVEL) / 2.0))
    value, shrink = hits / of, z**2 / of
    centre = (value + shrink / 2.0) / (1.0 + shrink)
    half = z * math.sqrt(value * (1.0 - value) / of + shrink / (4.0 * of)) / (1.0 + shrink)
    return Measured(value=value, low=max(centre - half, 0.0), high=min(centre + half, 1.0))


def mean(values: ArrayLike) -> Measured:
    """The mean of values (runs,), NaN left out, with the normal interval."""
    column = np.asarray(values, dtype=np.float64).ravel()
    column = column[~np.isnan(column)]
    if len(column) < 2:
        return NOTHING
    half = -float(special.ndtri((1.0 - LEVEL) / 2.0)) * float(column.std(ddof=1)) / math.sqrt(len(column))
    return Measured(value=float(column.mean()), low=float(column.mean()) - half, high=float(column.mean()) + half)


def missed(coverage: Measured) -> Measured:
    """The share of intervals that do not cover."""
    return Measured(value=1.0 - coverage.value, low=1.0 - coverage.high, high=1.0 - coverage.low)


def judge(
    errors: Mapping[str, tuple[Measured, Band]], *, refused: float = 0.0, warned: float = 0.0, reason: str = ""
) -> tuple[Verdict, str]:
    """The verdict over shares of errors and the bands they must lie in, and why.

    Above its band, a promise is broken; below, it is kept at the price of power. reason: what the method itself says.
    """
    if refused >= MOSTLY:
        return "refuses", reason
    found: dict[str, list[str]] = {"above": [], "unclear": [], "below": [], "inside": []}
    for name, (measured, band) in errors.items():
        found[_place(measured, band)].append(f"{name} {measured.value:.1%}, outside {band[0]:.1%} to {band[1]:.1%}")
    if found["above"] and warned >= MOSTLY:
        return "warns", f"{'; '.join(found['above'])}, and says: {reason}"
    if found["above"]:
        return "does not hold", "; ".join(found["above"])
    if found["unclear"]:
        return "unclear", f"{'; '.join(found['unclear'])}, but the runs are too few to say"
    if found["below"]:
        return "conservative", "; ".join(found["below"])
    return "holds", ""


def _place(measured: Measured, band: Band) -> str:
    if math.isnan(measured.value) or band[0] <= measured.value <= band[1]:
        return "inside"
    certain = measured.low > band[1] or measured.high < band[0] or measured.high - measured.low < 2.0 * SHARP
    if not certain:
        return "unclear"
    return "above" if measured.value > band[1] else "below"

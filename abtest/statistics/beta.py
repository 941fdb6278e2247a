"""Proportions as beta posteriors: exact however few the units, by numeric integration over one arm's posterior."""

from collections.abc import Callable
from dataclasses import dataclass
from math import pi, sqrt
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy import special

from abtest.statistics.bayes import Posteriors
from abtest.statistics.effect import check_level
from abtest.statistics.moments import Array, Moments
from abtest.statistics.proportion import share

NODES = np.linspace(-8.2, 8.2, 165)
"""Normal scores at which a posterior is read: a trapezoid over them integrates a smooth function to 1e-12."""
WEIGHTS = np.exp(-(NODES**2) / 2.0) / sqrt(2.0 * pi) * (NODES[1] - NODES[0])
HALVINGS = 50  # of the bracket around the end of an interval: 1e-14 of it
REACH = 40.0  # standard deviations that the bracket spans to each side


@dataclass(frozen=True, kw_only=True)
class BetaPrior:
    """What was believed of either arm's share: as if `ones` units had done it and `zeros` had not. 1 and 1: nothing."""

    ones: float = 1.0
    zeros: float = 1.0

    def __post_init__(self) -> None:
        if not (0 < self.ones < np.inf and 0 < self.zeros < np.inf):
            raise ValueError(f"a beta prior needs ones and zeros > 0, got {self.ones} and {self.zeros}")


UNIFORM = BetaPrior()


def posteriors(control: Moments, treatment: Moments, level: float, prior: BetaPrior = UNIFORM) -> Posteriors:
    """The posterior of a share of units, over the leading axes; "numerator" is 0 or 1 for every unit."""
    check_level(level)
    arms = [_Beta.of(arm, prior) for arm in (control, treatment)]
    # the wider posterior as a smooth function of the narrower one: the nodes lie close enough for it
    turned = arms[0].variance < arms[1].variance
    outer, inner = _chosen(turned, arms[1], arms[0]), _chosen(turned, arms[0], arms[1])
    there = _compare(outer, inner, (1.0 - level) / 2.0)
    back = _turned(there)
    found = {name: np.where(turned, back[name], there[name]) for name in there}
    known = (control.n > 0) & (treatment.n > 0)
    reason = np.select([control.n == 0, treatment.n == 0], ["no units in control", "no units in treatment"], default="")
    with np.errstate(divide="ignore", invalid="ignore"):
        baseline = np.where(arms[0].ones > 1, (arms[0].ones + arms[0].zeros - 1.0) / (arms[0].ones - 1.0), np.nan)
    values = {
        "absolute": arms[1].mean - arms[0].mean,
        "relative": arms[1].mean * baseline - 1.0,
        "sd": np.sqrt(arms[0].variance + arms[1].variance),
        "relative_loss": found["expected_loss"] / arms[0].mean,
        **found,
    }
    return Posteriors(
        **{name: np.where(known, value, np.nan) for name, value in values.items()},
        method=f"beta posterior, prior of {prior.ones:g} ones and {prior.zeros:g} zeros",
        reason=reason,
        level=level,
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class _Beta:
    """A beta distribution in each place of an array (...)."""

    ones: Array
    zeros: Array

    @classmethod
    def of(cls, moments: Moments, prior: BetaPrior) -> Self:
        n = moments.n
        ones = np.asarray(np.rint(np.nan_to_num(share(moments).value) * n), dtype=np.float64)
        return cls(ones=prior.ones + ones, zeros=prior.zeros + n - ones)

    @property
    def mean(self) -> Array:
        return self.ones / (self.ones + self.zeros)

    @property
    def variance(self) -> Array:
        return self.mean * (1.0 - self.mean) / (self.ones + self.zeros + 1.0)

    def at_nodes(self) -> Array:
        """Quantiles at the scores NODES, (..., nodes); the upper half from above, where 1 - p loses digits."""
        ones, zeros = self.ones[..., None], self.zeros[..., None]
        tail = special.ndtr(-np.abs(NODES))
        return np.where(NODES < 0, special.betaincinv(ones, zeros, tail), special.betainccinv(ones, zeros, tail))

    def above(self, x: Array, *, more: float = 0.0) -> Array:
        """P(share > x) for x (..., nodes); more: ones added, for first moments."""
        return np.asarray(special.betaincc(self.ones[..., None] + more, self.zeros[..., None], np.clip(x, 0.0, 1.0)))


def _compare(control: _Beta, treatment: _Beta, tail: float) -> dict[str, Array]:
    """What is asked of treatment against control, as means over the treatment's posterior."""
    x = treatment.at_nodes()
    missed = control.mean[..., None] * control.above(x, more=1.0) - x * control.above(x)
    loss = np.maximum((missed * WEIGHTS).sum(axis=-1), 0.0)
    sd = np.sqrt(control.variance + treatment.variance)
    middle = treatment.mean - control.mean
    bracket = np.maximum(middle - REACH * sd, -1.0), np.minimum(middle + REACH * sd, 1.0)

    def lies_below(difference: Array) -> Array:
        return np.asarray((control.above(x - difference[..., None]) * WEIGHTS).sum(axis=-1))

    def falls_below(log_ratio: Array) -> Array:
        return np.asarray((control.above(x * np.exp(-log_ratio)[..., None]) * WEIGHTS).sum(axis=-1))

    far = np.full(middle.shape, 50.0)
    low, high = (_quantile(lies_below, share, *bracket) for share in (tail, 1.0 - tail))
    least, most = (np.expm1(_quantile(falls_below, share, -far, far)) for share in (tail, 1.0 - tail))
    return {
        "chance_to_win": 1.0 - (control.above(x) * WEIGHTS).sum(axis=-1),
        "expected_loss": loss,
        "loss_of_keeping": loss + middle,
        "low": low,
        "high": high,
        "relative_low": least,
        "relative_high": most,
    }


def _turned(found: dict[str, Array]) -> dict[str, Array]:
    """The same, of the control against the treatment."""
    with np.errstate(divide="ignore"):
        return {
            "chance_to_win": 1.0 - found["chance_to_win"],
            "expected_loss": found["loss_of_keeping"],
            "loss_of_keeping": found["expected_loss"],
            "low": -found["high"],
            "high": -found["low"],
            "relative_low": 1.0 / (1.0 + found["relative_high"]) - 1.0,
            "relative_high": 1.0 / (1.0 + found["relative_low"]) - 1.0,
        }


def _chosen(first: NDArray[np.bool_], one: _Beta, other: _Beta) -> _Beta:
    return _Beta(ones=np.where(first, one.ones, other.ones), zeros=np.where(first, one.zeros, other.zeros))


def _quantile(distribution: Callable[[Array], Array], share: float, low: Array, high: Array) -> Array:
    """Where a rising function reaches `share`, between low and high, by halving."""
    for _ in range(HALVINGS):
        middle = (low + high) / 2.0
        short = distribution(middle) < share
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    return np.asarray((low + high) / 2.0)

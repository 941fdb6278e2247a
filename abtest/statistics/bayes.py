"""Bayesian reading of an effect: chance to win, expected loss, credible intervals, with a prior on the lift.

Any effect will do, whatever method it came from: its estimate is taken as normal with its standard error. Proportions
of few units have their own exact posterior (abtest.statistics.beta). A posterior is no licence to peek: with a weak
prior the chance to win crosses 97.5% somewhere on the way about as often as a p-value crosses 5%; what survives
peeking is the expected loss under an honest prior.
"""

from dataclasses import dataclass, fields
from math import inf, isfinite, pi, sqrt

import numpy as np
from scipy import special

from abtest.statistics.effect import Effects, Words, check_level
from abtest.statistics.moments import Array


@dataclass(frozen=True, kw_only=True)
class Prior:
    """What was believed of the relative lift before the experiment: normal with this mean and standard deviation.

    sd: half of what 95% of past lifts were within; infinite for no belief at all.
    """

    mean: float = 0.0
    sd: float = inf

    def __post_init__(self) -> None:
        if not (isfinite(self.mean) and self.sd > 0):
            raise ValueError(f"a prior needs a finite mean and sd > 0, got mean={self.mean}, sd={self.sd}")


FLAT = Prior()


@dataclass(frozen=True, kw_only=True)
class Posterior:
    """What is believed of treatment against control now. What cannot be computed is NaN, and `reason` says why.

    absolute, relative: posterior means of the difference and the lift, with credible intervals at `level`;
    chance_to_win: that treatment is larger; expected_loss: what shipping it costs on average where it is smaller, in
    the metric's unit (relative_loss: as a share of the control); loss_of_keeping: the same of staying with control.
    """

    absolute: float
    relative: float
    sd: float
    ci: tuple[float, float]
    relative_ci: tuple[float, float]
    chance_to_win: float
    expected_loss: float
    loss_of_keeping: float
    relative_loss: float
    method: str
    level: float
    reason: str = ""


@dataclass(frozen=True, eq=False, kw_only=True)
class Posteriors:
    """Posterior, for many comparisons at once: the same fields, every one an array of one shape (...)."""

    absolute: Array
    relative: Array
    sd: Array
    low: Array
    high: Array
    relative_low: Array
    relative_high: Array
    chance_to_win: Array
    expected_loss: Array
    loss_of_keeping: Array
    relative_loss: Array
    method: str
    reason: Words
    level: float

    def single(self) -> Posterior:
        """The posterior, where there is only one comparison."""
        (posterior,) = self.rows()
        return posterior

    def rows(self) -> list[Posterior]:
        """One Posterior per comparison, in C order."""
        names = [field.name for field in fields(self) if field.name not in ("level", "method")]
        columns = [np.asarray(getattr(self, name)).ravel().tolist() for name in names]
        rows = [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
        return [
            Posterior(
                ci=(row.pop("low"), row.pop("high")),
                relative_ci=(row.pop("relative_low"), row.pop("relative_high")),
                method=self.method,
                level=self.level,
                **row,
            )
            for row in rows
        ]


def normal(effects: Effects, level: float, prior: Prior = FLAT) -> Posteriors:
    """The posterior of effects of any method (`Effects.of` takes single ones): normal likelihood and prior.

    The difference has the prior times the control's size; the lift has a likelihood of its own, as wide as its
    interval, which knows that the control is an estimate too. Where that interval has no end, the lift is NaN.
    """
    z = float(-special.ndtri((1.0 - check_level(level)) / 2.0))
    size = np.abs(effects.control)
    # of a control of 0, a belief about the lift says nothing
    believed = np.inf if np.isinf(prior.sd) else np.where(size > 0, prior.sd * size, np.inf)
    mean, sd = _updated(effects.absolute, effects.se, prior.mean * size, believed)
    with np.errstate(divide="ignore", invalid="ignore"):
        # the interval's length, in the standard errors that the difference's interval has
        error = effects.se * (effects.relative_high - effects.relative_low) / (effects.high - effects.low)
        error = np.where(np.isfinite(error), error, np.nan)
        relative, relative_sd = _updated(effects.relative, error, prior.mean, prior.sd)
        away = mean / sd
        loss = sd * _beyond(away)
    known = "flat prior" if np.isinf(prior.sd) else f"prior lift {prior.mean:+.1%} +- {prior.sd:.1%}"
    return Posteriors(
        absolute=mean,
        relative=relative,
        sd=sd,
        low=mean - z * sd,
        high=mean + z * sd,
        relative_low=relative - z * relative_sd,
        relative_high=relative + z * relative_sd,
        chance_to_win=special.ndtr(away),
        expected_loss=loss,
        loss_of_keeping=sd * _beyond(-away),
        relative_loss=loss / np.where(size > 0, size, np.nan),
        method=f"normal posterior, {known}",
        reason=effects.reason,
        level=level,
    )


def _updated(estimate: Array, se: Array, mean: Array | float, sd: Array | float) -> tuple[Array, Array]:
    """The posterior's mean and standard deviation; the prior's share falls as the estimate gets surer."""
    with np.errstate(divide="ignore", invalid="ignore"):
        # the share of the prior: 0 where it is flat
        weight = np.where(np.isinf(sd), 0.0, se**2 / (se**2 + sd**2))
        mean = np.where(weight > 0, weight * mean, 0.0) + (1.0 - weight) * estimate
    return np.where(np.isnan(se), np.nan, mean), np.asarray(se * np.sqrt(1.0 - weight))


def _beyond(away: Array) -> Array:
    """E max(-x, 0) of x normal with mean `away` and variance 1; by Mills' ratio, which loses no digit in the tail."""
    density = np.exp(-(away**2) / 2.0) / sqrt(2.0 * pi)
    mills = sqrt(pi / 2.0) * special.erfcx(np.maximum(away, 0.0) / sqrt(2.0))
    return np.asarray(np.where(away > 0, density * (1.0 - away * mills), density - away * special.ndtr(-away)))

"""Many questions at once: how often a correction lets any false alarm through, and what it still finds."""

from collections.abc import Callable
from typing import get_args

import numpy as np

from abtest.certificate.lines import EVER, LEVEL, Line, judge, mean, share
from abtest.certificate.populations import Normal
from abtest.statistics import dunnett, welch
from abtest.statistics.moments import Array, Moments
from abtest.statistics.multiple import Correction, adjust

METRICS, TREATMENTS = ("first", "second", "third", "fourth"), 3
DUNNETT, UNCORRECTED = "dunnett", "none"
CORRECTIONS = (UNCORRECTED, *(name for name in get_args(Correction) if name != UNCORRECTED), DUNNETT)
AWAY = 3.5  # standard errors of the effects that are there: found with 94% by a test that stands alone
REAL = np.array([[True, True, False, False], [True, False, False, False], [False, False, False, False]])
"""Which metrics (columns) of which treatments (rows) have an effect; all others are equal to control."""


def certify(correction: str, units: int, runs: int, rng: np.random.Generator) -> Line:
    """What `runs` experiments of 3 treatments and 4 correlated metrics say of a correction.

    Dunnett's asks one metric of the three treatments, so that its own family is whole.
    """
    columns = METRICS[:1] if correction == DUNNETT else METRICS
    real = REAL[:, : len(columns)]
    lift = AWAY * float(np.sqrt(2.0 / units)) / 10.0
    p_values = _dunnett if correction == DUNNETT else _corrected(correction)
    equal = p_values(*_arms(columns, 0.0 * real, units, runs, rng)) < 1.0 - LEVEL
    found = p_values(*_arms(columns, lift * real, units, runs, rng)) < 1.0 - LEVEL
    type_i, false = share(int(equal.any(axis=(1, 2)).sum()), runs), (found & ~real).sum(axis=(1, 2))
    false_found = mean(false / np.maximum(found.sum(axis=(1, 2)), 1))
    verdict, reason = judge({"any false alarm": (type_i, EVER), "false among the found": (false_found, EVER)})
    if correction == UNCORRECTED:
        verdict, reason = "for comparison", "what asking twelve questions does to tests that stand alone"
    return Line(
        kind="family",
        method=correction,
        scenario=f"{len(columns)} metrics x {TREATMENTS} treatments" if len(columns) > 1 else "3 treatments",
        units=units,
        looks=1,
        runs=runs,
        lift=lift,
        type_i=type_i,
        power=share(int((found & real).sum()), int(real.sum()) * runs),
        false_found=false_found,
        verdict=verdict,
        reason=reason,
    )


def _arms(
    columns: tuple[str, ...], lifts: Array, units: int, runs: int, rng: np.random.Generator
) -> tuple[Moments, list[Moments]]:
    """Control (runs,) and every treatment (runs,), their metrics correlated by a half."""
    p = len(columns)
    control = Normal(columns, np.full(p, 10.0), 0.5 * np.eye(p) + 0.5)
    treatments = [Normal(columns, 10.0 * (1.0 + lift), control.covariance) for lift in lifts]
    return control.draw(rng, units, (runs,)), [arm.draw(rng, units, (runs,)) for arm in treatments]


def _corrected(correction: str) -> Callable[[Moments, list[Moments]], Array]:
    def p_values(control: Moments, treatments: list[Moments]) -> Array:
        raw = np.stack(
            [
                [welch.effects(_of(control, name), _of(arm, name), LEVEL).p_value for name in METRICS]
                for arm in treatments
            ]
        ).transpose(2, 0, 1)
        rows = raw.reshape(len(raw), -1)
        return np.stack([adjust(row, correction) for row in rows]).reshape(raw.shape)  # type: ignore[arg-type]

    return p_values


def _dunnett(control: Moments, treatments: list[Moments]) -> Array:
    arms = [_of(arm, METRICS[0]) for arm in treatments]
    together = Moments(
        ("numerator",),
        np.stack([arm.n for arm in arms], axis=-1),
        np.stack([arm.mean for arm in arms], axis=1),
        np.stack([arm.comoment for arm in arms], axis=1),
    )
    return dunnett.p_values(_of(control, METRICS[0]), together)[..., None]


def _of(moments: Moments, name: str) -> Moments:
    found = moments.select(name)
    return Moments(("numerator",), found.n, found.mean, found.comoment)

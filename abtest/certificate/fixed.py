"""Tests that are read once: equal arms, then an effect that should be found four times in five."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from abtest.certificate.lines import FIXED, LEVEL, Line, Measured, judge, mean, missed, share
from abtest.certificate.populations import Population
from abtest.certificate.subjects import Subject, subject
from abtest.statistics.effect import Effects
from abtest.statistics.moments import Array

FINDABLE = 2.8016  # standard errors that a two-sided test at 5% finds with 80%
MOST = 0.5  # the largest lift that is planted: beyond it, nobody needs statistics


def certify(method: str, scenario: str, units: int, runs: int, rng: np.random.Generator) -> Line:
    """What `runs` experiments of a method with `units` per arm say of it."""
    tested = subject(method, scenario)
    lift = findable_lift(tested.population, units)
    equal, planted = _experiments(tested, 0.0, units, runs, rng), _experiments(tested, lift, units, runs, rng)
    truth = tested.population.lifted(lift).value - tested.population.value
    answered = ~np.isnan(equal.p_value)
    shown = ~np.isnan(planted.p_value)
    type_i = share(int((equal.p_value[answered] < 1.0 - LEVEL).sum()), int(answered.sum()))
    coverage = _covered(planted.low[shown], planted.high[shown], truth)
    told = shown & ~np.isnan(planted.relative_low)
    relative = _covered(planted.relative_low[told], planted.relative_high[told], lift)
    refused, warned = float((~answered).mean()), float((planted.reason != "").mean())
    verdict, reason = judge(
        {
            "type I error": (type_i, FIXED),
            "misses of the effect": (missed(coverage), FIXED),
            "misses of the lift": (missed(relative), FIXED),
        },
        refused=refused,
        warned=warned,
        reason=_usual(planted.reason if refused == 0 else equal.reason),
    )
    return Line(
        kind="read once",
        method=method,
        scenario=scenario,
        units=units,
        looks=1,
        runs=runs,
        lift=lift,
        type_i=type_i,
        coverage=coverage,
        relative_coverage=relative,
        power=share(int((planted.p_value[shown] < 1.0 - LEVEL).sum()), int(shown.sum())),
        bias=mean((planted.absolute - truth) / standard_error(tested.population, lift, units)),
        refused=refused,
        warned=warned,
        verdict=verdict,
        reason=reason,
    )


def findable_lift(population: Population, units: int) -> float:
    """The lift that a t test finds with 80%, at most 50%; the treatment's spread grows with it."""
    lift = 0.0
    for _ in range(60):
        lift = min(FINDABLE * standard_error(population, lift, units) / abs(population.value), MOST)
    return lift


def standard_error(population: Population, lift: float, units: int) -> float:
    """The true standard error of the difference that a lift makes."""
    arms = population.deviation, population.lifted(lift).deviation
    return float(np.sqrt((arms[0] ** 2 + arms[1] ** 2) / units))


@dataclass(frozen=True, eq=False, kw_only=True)
class Outcomes:
    """What the experiments said, all (runs,)."""

    p_value: Array
    absolute: Array
    low: Array
    high: Array
    relative_low: Array
    relative_high: Array
    reason: NDArray[np.str_]


def _experiments(tested: Subject, lift: float, units: int, runs: int, rng: np.random.Generator) -> Outcomes:
    control, treatment = tested.population, tested.population.lifted(lift)

    def some(count: int) -> Effects:
        return tested.effects(control.draw(rng, units, (count,)), treatment.draw(rng, units, (count,)), LEVEL)

    return in_blocks(some, runs, tested.population.at_once(units))


def in_blocks(some: Callable[[int], Effects], runs: int, at_once: int) -> Outcomes:
    """The outcomes of all runs, a block at a time."""
    blocks = [some(min(at_once, runs - start)) for start in range(0, runs, at_once)]
    names = ("p_value", "absolute", "low", "high", "relative_low", "relative_high", "reason")
    return Outcomes(**{name: np.concatenate([getattr(block, name) for block in blocks]) for name in names})


def _covered(low: Array, high: Array, truth: float) -> Measured:
    return share(int(((low <= truth) & (truth <= high)).sum()), len(low))


def _usual(reasons: NDArray[np.str_]) -> str:
    """The reason that was given most often."""
    given = reasons[reasons != ""]
    if len(given) == 0:
        return ""
    words, counts = np.unique(given, return_counts=True)
    return str(words[counts.argmax()])
